import { byId, h, keyed, s, setText } from "./dom.mjs";
import { duration, short } from "./format.mjs";

/** Durations compares how long tasks take, on one logarithmic scale: an upstream
 * of seconds and one of hours stay readable side by side. */
export class Durations {
  #body = h("tbody");
  #empty = h("p", { class: "empty" }, "No task has ended yet.");
  #table = h("table", { class: "plain-table" },
    h("thead", null, h("tr", null, ["Upstream", "p50", "p95"].map((x, i) => h("th", { scope: "col", class: i ? "num" : "" }, x)),
      h("th", { scope: "col", class: "wide" }, h("span", { class: "hush" }, "From p50 to p95")), h("th", { scope: "col", class: "num" }, "Tasks"))),
    this.#body);

  constructor() {
    byId("durations").append(this.#table, this.#empty);
  }

  draw(fleet) {
    const rows = Object.entries(fleet.durations ?? {})
      .filter(([, d]) => Number.isFinite(d.p50_seconds))
      .map(([name, d]) => ({ name, ...d }))
      .sort((a, b) => a.p50_seconds - b.p50_seconds);
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
    const at = scale(rows);
    keyed(this.#body, rows, (row) => row.name, makeRow, (element, row) => updateRow(element, row, at));
  }
}

/** scale maps seconds to percent of the width. Pure. */
export function scale(rows) {
  const all = rows.flatMap((row) => [row.p50_seconds, row.p95_seconds]).filter((x) => x > 0).map(Math.log);
  const low = Math.min(...all);
  const high = Math.max(...all);
  return (seconds) => (seconds > 0 && high > low ? 2 + ((Math.log(seconds) - low) / (high - low)) * 96 : 2);
}

function makeRow(row) {
  return h("tr", null, h("th", { scope: "row" }, row.name), h("td", { class: "num" }), h("td", { class: "num" }),
    h("td", { class: "wide" }, s("svg", { class: "range", "aria-hidden": "true" },
      s("rect", { class: "ground", x: 0, y: 5, width: "100%", height: 2, rx: 1 }),
      s("rect", { class: "span", y: 4, height: 4, rx: 2 }),
      s("circle", { class: "middle", cy: 6, r: 3.5 }))),
    h("td", { class: "num muted" }));
}

function updateRow(element, row, at) {
  const [, p50, p95, wide, samples] = element.children;
  setText(p50, duration(row.p50_seconds));
  setText(p95, duration(row.p95_seconds ?? NaN));
  setText(samples, short(row.samples));
  const [, span, middle] = wide.firstElementChild.children;
  const from = at(row.p50_seconds);
  const to = at(row.p95_seconds ?? row.p50_seconds);
  middle.setAttribute("cx", `${from.toFixed(1)}%`);
  span.setAttribute("x", `${from.toFixed(1)}%`);
  span.setAttribute("width", `${Math.max(0, to - from).toFixed(1)}%`);
}
