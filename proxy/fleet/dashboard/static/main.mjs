// Starts the page, and shows what its address says.

import { byId, setAttr } from "./dom.mjs";
import { onKey } from "./keys.mjs";
import { Overview } from "./overview.mjs";
import { everything, format, parse } from "./route.mjs";
import * as session from "./session.mjs";
import { TaskPage } from "./taskpage.mjs";
import { setSubject } from "./title.mjs";
import { themeSwitch } from "./theme.mjs";
import { toast } from "./notice.mjs";
import { knows } from "./upstreamlist.mjs";
import { WebhooksPage } from "./webhooks.mjs";

const SEARCH_PAUSE = 250; // ms between the last key and the search

let state = everything;
let list = everything; // the list that was on show last

const overview = new Overview({ go, login: refused });
const task = new TaskPage({
  login: refused,
  keyed: session.keyed,
  gone(ref) {
    overview.table.drop(ref);
    go(list);
  },
});
const webhooks = new WebhooksPage(refused);

/** go shows another view; replacing it leaves no step in the browser's history. */
function go(next, { replace = false } = {}) {
  const hash = format(next);
  if (hash === format(parse(location.hash))) return show();
  if (!replace) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  show();
}

function show() {
  const from = state;
  state = parse(location.hash);
  if (session.missing()) return login();
  document.body.classList.remove("locked");
  byId("login").hidden = true;
  byId("me").togglePopover(false);
  setAttr(byId("to-webhooks"), "aria-current", state.view === "webhooks" ? "page" : null);
  overview.watch();
  if (state.view !== "tasks") overview.hide();
  if (state.view !== "task") task.hide();
  if (state.view !== "webhooks") webhooks.hide();
  if (state.view === "task") return task.show(state.ref, format(list));
  if (state.view === "webhooks") {
    setSubject("Webhooks · Pollux");
    return webhooks.show(format(list));
  }
  list = state;
  if (byId("find") !== document.activeElement) byId("find").value = state.q;
  setSubject("Pollux");
  overview.show(state);
  if (from.view === "task") overview.table.focus(from.ref);
}

function login() {
  document.body.classList.add("locked");
  overview.unwatch();
  for (const view of [overview, task, webhooks]) view.hide();
  session.ask(show);
}

/** refused handles a 401: the session may have ended. It resolves with whether
 * that was it. */
async function refused() {
  const missing = await session.read();
  if (missing) login();
  return missing;
}

let searching;

// Of a reference, the id; a model may have a slash too.
function idIn(text) {
  const [first, ...rest] = text.split("/");
  return rest.length && knows(first) ? rest.pop() : text;
}

function search() {
  clearTimeout(searching);
  const q = idIn(byId("find").value.trim());
  if (state.view === "tasks" && q === state.q) return;
  go({ ...list, q }, { replace: state.view === "tasks" });
}

// A whole reference, or an id of which there is one, opens the task.
function openFound() {
  clearTimeout(searching); // or it would lead back to the list
  const text = byId("find").value.trim();
  if (!text) return;
  const ref = text.includes("/") && knows(text.split("/")[0]) ? text : overview.table.find(text);
  if (ref) return go({ view: "task", ref });
  search();
}

function leave() {
  const find = byId("find");
  if (document.activeElement === find) {
    find.value = "";
    find.blur();
    search();
  } else if (state.view !== "tasks") go(list);
  else if (overview.table.selection.on) overview.table.selection.toggle();
  else document.activeElement?.blur?.();
}

const onList = (f) => () => (state.view === "tasks" ? f() : false);

onKey({
  "/": () => byId("find").select(),
  "?": () => byId("help").showModal(),
  j: onList(() => overview.table.move(1)),
  k: onList(() => overview.table.move(-1)),
  n: onList(() => overview.table.showNew()),
  t: onList(() => overview.filters.trouble()),
  s: onList(() => overview.table.selection.toggle()),
  x: onList(() => overview.filters.clear()),
  c: () => (state.view === "task" ? task.copyID() : overview.table.copyFocused()),
  r: () => {
    if (state.view === "task") return void task.refresh();
    if (state.view === "webhooks") webhooks.refresh();
    else overview.refresh();
    toast("Refreshed");
  },
  Enter: onList(() => overview.table.openFocused()),
  Escape: leave,
});

byId("find").addEventListener("input", () => {
  clearTimeout(searching);
  searching = setTimeout(search, SEARCH_PAUSE);
});
byId("find").addEventListener("keydown", (e) => {
  if (e.key === "Enter") openFound();
});
byId("help-open").addEventListener("click", () => byId("help").showModal());
byId("brand").addEventListener("click", (e) => {
  e.preventDefault();
  go(everything);
});
byId("skip").addEventListener("click", (e) => {
  e.preventDefault();
  byId("main").focus();
});
byId("logout").addEventListener("click", async () => {
  try {
    await session.logout();
  } catch (err) {
    toast(err.message);
  }
  show();
});
byId("themes").append(...themeSwitch());
addEventListener("hashchange", show);

await session.read();
show();
