// The replicas that share the store, where there are several.

import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setText } from "./dom.mjs";
import { ago, count, instant } from "./format.mjs";

const SILENT = 10_000; // ms; after it, others have taken over its work

export class Replicas {
  #body = h("tbody");

  constructor() {
    byId("replicas").append(h("table", { class: "plain-table" },
      h("thead", null, h("tr", null, ["Name", "Slots", "Last heard"].map((x, i) => h("th", { scope: "col", class: i ? "num" : "" }, x)))), this.#body));
    onTick(() => [...this.#body.rows].forEach(age));
  }

  draw(fleet) {
    const replicas = fleet.replicas ?? [];
    byId("replicas").hidden = replicas.length === 0;
    keyed(this.#body, replicas, (r) => r.name,
      (r) => h("tr", null, h("th", { scope: "row" }, h("bdi", null, r.name)), h("td", { class: "num" }), h("td", { class: "num" }, h("time"))), update);
  }
}

function update(row, { slots, last_heard: at }) {
  setText(row.children[1], Array.isArray(slots) ? count(slots.length) : count(slots));
  row.querySelector("time").dateTime = at ?? "";
  age(row);
}

function age(row) {
  const time = row.querySelector("time");
  const at = instant(time.dateTime);
  setText(time, ago(at, now()));
  time.className = now() - at > SILENT ? "warn" : "";
}
