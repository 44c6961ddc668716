// The replicas that share the store, and whether they hear of each other. One
// process alone has nothing to tell.

import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setText } from "./dom.mjs";
import { ago, count, instant } from "./format.mjs";
import { alone, sharing } from "./sharing.mjs";

export class Replicas {
  #body = h("tbody");
  #state = h("p", { role: "status" });

  constructor() {
    byId("replicas").append(this.#state, h("table", { class: "plain-table" },
      h("thead", null, h("tr", null, ["Replica", "Version", "Slots", "Started"].map((x, i) => h("th", { scope: "col", class: i > 1 ? "num" : "" }, x)))), this.#body));
    onTick(() => [...this.#body.rows].forEach(age));
  }

  draw(fleet) {
    const replicas = fleet.replicas ?? [];
    byId("replicas").hidden = replicas.length < 2 && !alone(fleet);
    // At the top, since it concerns whatever else the page shows.
    byId("store").hidden = !alone(fleet);
    if (alone(fleet)) setText(byId("store"), "The store does not answer: this Pollux goes on alone, with what it has in memory. Counts are from before.");
    const [words, trouble] = sharing(fleet);
    setText(this.#state, words);
    this.#state.className = trouble ? "warn" : "muted";
    keyed(this.#body, replicas, (r) => r.id,
      (r) => h("tr", null, h("th", { scope: "row" }, h("bdi", null, r.id), r.self ? " (this one)" : ""), h("td", null, h("bdi", null, r.version)),
        h("td", { class: "num" }), h("td", { class: "num" }, h("time", { datetime: r.started_at }))), update);
  }
}

function update(row, { slots }) {
  setText(row.children[2], count(slots));
  age(row);
}

function age(row) {
  const time = row.querySelector("time");
  setText(time, ago(instant(time.dateTime), now()));
}
