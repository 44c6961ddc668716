// Fetching the rows of a view.

import { getJSON, listURL } from "./api.mjs";
import { now } from "./clock.mjs";
import { everything, isFiltered } from "./route.mjs";
import { isFailure, isTerminal } from "./statuses.mjs";

/** PAGE is how many rows are fetched at a time; on a phone, less to scroll past. */
export const PAGE = matchMedia("(max-width: 44rem)").matches ? 25 : 50;

/** firstPage resolves with {rows, cursor} for a view. With trouble first, what
 * failed lately and what is stuck is fetched beside the page, since it may lie
 * far down in the order of the list. */
export async function firstPage(state, signal) {
  const list = (changes, extra) => getJSON(listURL({ ...state, ...changes }, now(), extra), { signal });
  const asked = [list({}, { limit: PAGE })];
  if (state.trouble) asked.push(...troubles(state).map((changes) => list(changes, { limit: changes.limit })));
  const exact = isNarrowed(state) ? getJSON(listURL({ ...everything, q: state.q }, now(), { limit: 5 }), { signal }) : { data: [] };
  const [named, page, ...more] = await Promise.all([exact, ...asked]);
  const extra = more.flatMap((answer) => answer.data).filter((row) => row.stuck || isFailure(row.status));
  return { rows: [...named.data.filter((row) => row.id === state.q), ...page.data, ...extra], cursor: page.next_cursor };
}

// A filter left over shall not hide the task whose id was typed in.
const isNarrowed = (state) => state.q !== "" && isFiltered({ ...state, q: "" });

/** nextPage resolves with the rows after a cursor. */
export async function nextPage(state, cursor, signal) {
  const page = await getJSON(listURL(state, now(), { limit: PAGE, cursor }), { signal });
  return { rows: page.data, cursor: page.next_cursor };
}

// The views in which trouble is found, within the filters of state. What is
// stuck is among the oldest that have not ended.
function troubles(state) {
  const within = (statuses) => (state.status.length ? state.status.filter((x) => statuses(x)) : []);
  const failed = state.status.length ? within(isFailure) : ["failed", "timed_out"];
  const running = within((x) => !isTerminal(x));
  const views = [];
  if (failed.length && state.terminal !== "false") views.push({ status: failed, terminal: "", sort: "-updated_at", limit: PAGE });
  if ((running.length || !state.status.length) && state.terminal !== "true") {
    views.push({ status: running, terminal: running.length ? "" : "false", sort: "created_at", limit: 4 * PAGE });
  }
  return views;
}
