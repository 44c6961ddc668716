// What is shown, as the fragment of the address: a view can be shared by its
// link, and the filters never reach a server's log. Pure.

export const SORTS = ["-created_at", "created_at", "-updated_at", "updated_at", "-completed_at", "completed_at"];

/** How far back a list may look, by the word in the address; in milliseconds. */
export const SPANS = { "15m": 900e3, "1h": 3600e3, "6h": 21600e3, "24h": 86400e3, "7d": 604800e3 };

/** everything is the list without any filter. */
export const everything = Object.freeze({
  view: "tasks", status: [], upstream: "", terminal: "", q: "", since: "", sort: SORTS[0], trouble: false,
});

/** parse reads a fragment. What it does not understand is left out. */
export function parse(hash) {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const ref = params.get("task");
  if (ref) return { view: "task", ref };
  const oneOf = (name, values) => (values.includes(params.get(name)) ? params.get(name) : "");
  return {
    view: "tasks",
    status: (params.get("status") ?? "").split(",").filter((word) => /^[a-z_]{1,20}$/.test(word)),
    upstream: params.get("upstream") ?? "",
    terminal: oneOf("terminal", ["true", "false"]),
    q: params.get("q") ?? "",
    since: oneOf("since", Object.keys(SPANS)),
    sort: oneOf("sort", SORTS) || SORTS[0],
    trouble: params.get("first") === "trouble",
  };
}

/** format is the inverse of parse; defaults are left out. */
export function format(state) {
  const params = new URLSearchParams();
  if (state.view === "task") {
    params.set("task", state.ref);
    return `#${params}`;
  }
  if (state.status.length) params.set("status", state.status.join(","));
  for (const name of ["upstream", "terminal", "q", "since"]) if (state[name]) params.set(name, state[name]);
  if (state.sort !== SORTS[0]) params.set("sort", state.sort);
  if (state.trouble) params.set("first", "trouble");
  return `#${params.toString().replaceAll("%2C", ",")}`;
}

/** toggled is state with a status put into, or taken out of, the filter. */
export function toggled(state, status) {
  const has = state.status.includes(status);
  return { ...state, status: has ? state.status.filter((x) => x !== status) : [...state.status, status] };
}

/** isFiltered says whether anything narrows the list. */
export const isFiltered = (state) =>
  Boolean(state.status.length || state.upstream || state.terminal || state.q || state.since);
