// The row under the head: how each upstream does, those in trouble first.

import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setAttr, setText } from "./dom.mjs";
import { setDegraded } from "./live.mjs";
import { say } from "./notice.mjs";
import { setTrouble } from "./title.mjs";
import { headline, inOrder, stateOf, summary } from "./upstreamstate.mjs";

const FEW = 8; // upstreams that are all shown; of more, those that answer are a number

export class States {
  #list = h("ul", { class: "states-list" });
  #line = h("button", { type: "button", class: "states-line", "aria-expanded": "false", onclick: () => this.#toggle() });
  #rest = h("button", { type: "button", class: "state-chip rest", "aria-expanded": "false", onclick: () => this.#toggle() });
  #upstreams = [];
  #heard = 0; // performance.now() of the last answer
  #open = false;
  #chosen = "";
  #pick;
  #said = "";

  /** pick(name) filters the table to an upstream. */
  constructor(pick) {
    this.#pick = pick;
    byId("states").append(this.#line, this.#list, this.#rest);
    onTick(() => this.#draw());
  }

  /** draw shows what GET /v1/upstreams said. */
  draw(upstreams) {
    this.#upstreams = upstreams;
    this.#heard = performance.now();
    this.#draw();
  }

  /** mark shows to which upstream the table is filtered, "" for none. */
  mark(chosen) {
    this.#chosen = chosen;
    this.#draw();
  }

  #toggle() {
    this.#open = !this.#open;
    this.#draw();
  }

  #draw() {
    byId("states").hidden = this.#upstreams.length === 0;
    if (this.#upstreams.length === 0) return;
    const passed = (performance.now() - this.#heard) / 1000;
    const all = inOrder(this.#upstreams.map((u) => ({ name: u.name, state: stateOf(u, passed, now()) })));
    const troubled = all.filter((x) => x.state.trouble);
    const shown = this.#open || all.length <= FEW ? all : troubled;
    keyed(this.#list, shown, (x) => x.name, (x) => this.#make(x.name), (element, x) => this.#update(element, x));
    byId("states").classList.toggle("open", this.#open);
    this.#rest.hidden = all.length <= FEW;
    setText(this.#rest, this.#open ? "fewer" : `${all.length - troubled.length} answering`);
    setText(this.#line, summary(all));
    this.#line.className = `states-line ${all[0].state.tone}`;
    for (const button of [this.#rest, this.#line]) setAttr(button, "aria-expanded", String(this.#open));
    this.#tell(all, troubled);
  }

  #tell(all, troubled) {
    const text = headline(all);
    setTrouble(text);
    setDegraded(troubled.length ? `${troubled.length} in trouble` : "", all[0].state.tone);
    if (text === this.#said) return;
    this.#said = text;
    say(text || "All upstreams answer");
  }

  #make(name) {
    return h("li", null, h("button", { type: "button", class: "state-chip", title: `Show only ${name}`, onclick: () => this.#pick(name) },
      h("span", { class: "dot", "aria-hidden": "true" }), h("bdi", null, name), h("span", { class: "word" })));
  }

  #update(element, { name, state }) {
    const chip = element.firstElementChild;
    chip.className = `state-chip ${state.tone}`;
    setAttr(chip, "aria-pressed", String(name === this.#chosen));
    setText(chip.lastElementChild, state.text);
  }
}
