// What is shown, as the fragment of the address: a view can be shared by its
// link, and the filters never reach a server's log. Pure.

export const SORTS = ["-created_at", "created_at", "-updated_at", "updated_at", "-completed_at", "completed_at"];

/** How far back a list may look, by the word in the address; in milliseconds. */
export const SPANS = { "15m": 900e3, "1h": 3600e3, "6h": 21600e3, "24h": 86400e3, "7d": 604800e3 };

/** WINDOWS are the times that counts, failures and savings may be about, in words. */
export const WINDOWS = { "15m": "the last 15 minutes", "1h": "the last hour", "24h": "the last 24 hours", all: "all time" };

/** everything is the list without any filter. */
export const everything = Object.freeze({
  view: "tasks", status: [], upstream: "", terminal: "", q: "", since: "", sort: SORTS[0], trouble: false, window: "1h", from: "", to: "",
});

/** parse reads a fragment. What it does not understand is left out. */
export function parse(hash) {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  if (params.has("webhooks")) return { view: "webhooks" };
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
    window: oneOf("window", Object.keys(WINDOWS)) || everything.window,
    from: timeIn(params.get("from")),
    to: timeIn(params.get("to")),
  };
}

// An instant as the address has it, RFC 3339 in UTC; "" for what is none.
function timeIn(text) {
  const at = Date.parse(text ?? "");
  return Number.isFinite(at) ? new Date(at).toISOString() : "";
}

/** format is the inverse of parse; defaults are left out. */
export function format(state) {
  if (state.view === "webhooks") return "#webhooks";
  const params = new URLSearchParams();
  if (state.view === "task") {
    params.set("task", state.ref);
    return `#${params}`;
  }
  if (state.status.length) params.set("status", state.status.join(","));
  for (const name of ["upstream", "terminal", "q", "since", "from", "to"]) if (state[name]) params.set(name, state[name]);
  if (state.sort !== SORTS[0]) params.set("sort", state.sort);
  if (state.window !== everything.window) params.set("window", state.window);
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
  Boolean(state.status.length || state.upstream || state.terminal || state.q || state.since || state.from || state.to);
