// What Pollux spares the upstreams.

import { Chart, Strip } from "./charts.mjs";
import { byId, h, setText } from "./dom.mjs";
import { count, percent, short } from "./format.mjs";
import { reach } from "./past.mjs";

// The parts of all polls received: member of `saved`, class, words.
const PARTS = [
  ["hit", "hit", "fresh or final, from memory"],
  ["collapsed", "collapsed", "joined another's poll"],
  ["stale", "stale", "old answer while in trouble"],
  ["not_modified", "not-modified", "304, nothing new"],
];

export class Savings {
  #strip = new Strip(["upstream", ...PARTS.map(([, name]) => name)], "saved");
  #chart = new Chart(["received", "upstream"], "polls");
  #rate = h("strong", { class: "big" }, "–");
  #told = h("p", { class: "told" });
  #avoided = h("dd", null, "–");
  #numbers = new Map();
  #span = h("span", { class: "muted" });

  constructor() {
    const rows = [["upstream", "upstream", "asked the upstream"], ...PARTS].map(([member, name, words]) => {
      const value = h("dd", null, "–");
      this.#numbers.set(member, value);
      return h("div", null, h("dt", null, h("span", { class: `key ${name}`, "aria-hidden": "true" }), words), value);
    });
    byId("savings").append(
      h("div", { class: "saved-head" }, this.#rate, this.#told),
      this.#strip.element,
      h("dl", { class: "legend" }, rows,
        h("div", { class: "apart" }, h("dt", null, "rate-limit answers avoided"), this.#avoided)),
      h("div", { class: "chart-head" }, h("span", null, h("i", { class: "key received" }), "polls in"),
        h("span", null, h("i", { class: "key upstream" }), "upstream polls out"), this.#span),
      this.#chart.element);
  }

  draw(fleet, span, window) {
    const { received, upstream, saved, rate_limits_avoided: avoided } = fleet.polls;
    setText(this.#rate, received > 0 ? percent(saved.total / received) : "–");
    setText(this.#told, `of ${short(received)} polls in ${span} never reached an upstream`);
    this.#strip.draw([upstream, ...PARTS.map(([member]) => saved[member] ?? 0)]);
    setText(this.#numbers.get("upstream"), count(upstream));
    for (const [member] of PARTS) setText(this.#numbers.get(member), count(saved[member]));
    setText(this.#avoided, count(avoided));
    this.#chart.draw([fleet.history.polls_received, fleet.history.polls_upstream]);
    setText(this.#span, reach(fleet.history, window));
  }
}
