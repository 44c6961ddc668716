import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setAttr, setText } from "./dom.mjs";
import { ago, instant, short } from "./format.mjs";
import { format } from "./route.mjs";

/** Failures lists what failed lately, alike ones as one line. */
export class Failures {
  #list = h("ol", { class: "failures" });
  #empty = h("p", { class: "empty" }, "No task failed lately.");
  #groups = [];

  constructor() {
    byId("failures").append(this.#list, this.#empty);
    onTick(() => this.#tick());
  }

  draw(fleet, span) {
    this.#groups = fleet.failures ?? [];
    setText(byId("failures-title"), `Failures in ${span}`);
    setText(this.#empty, `No task failed in ${span}.`);
    this.#empty.hidden = this.#groups.length > 0;
    const key = (g) => JSON.stringify([g.upstream, g.code, g.message]);
    keyed(this.#list, this.#groups, key, make, update);
  }

  #tick() {
    for (const element of this.#list.children) updateAge(element);
  }
}

function make() {
  return h("li", null, h("a", { class: "failure" },
    h("span", { class: "times" }), h("span", { class: "what" }, h("bdi", { class: "code" }), h("bdi", { class: "message" })),
    h("span", { class: "where muted" }, h("bdi"), " · ", h("time"))));
}

function update(element, group) {
  const link = element.firstElementChild;
  setAttr(link, "href", format({ view: "task", ref: group.ref }));
  link.title = `Open the latest: ${group.ref}`;
  const [times, what, where] = link.children;
  setText(times, `${short(group.count)}×`);
  setText(what.firstElementChild, group.code ?? "");
  what.firstElementChild.hidden = !group.code;
  setText(what.lastElementChild, group.message ?? (group.code ? "" : "no reason given"));
  setText(where.firstElementChild, group.upstream);
  where.lastElementChild.dateTime = group.latest;
  updateAge(element);
}

function updateAge(element) {
  const time = element.querySelector("time");
  setText(time, ago(instant(time.dateTime), now()));
}
