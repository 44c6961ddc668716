// Two times between which tasks were created: local in the fields, UTC in the
// address.

import { h } from "./dom.mjs";

/** rangeText says a range of the state in words. */
export function rangeText({ from, to }) {
  const word = (at) => new Date(at).toLocaleString("en-CA", { dateStyle: "short", timeStyle: "short", hourCycle: "h23" });
  return [from && `from ${word(from)}`, to && `to ${word(to)}`].filter(Boolean).join(" ");
}

/** Range is a form for both. */
export class Range {
  #from = h("input", { type: "datetime-local", step: "1" });
  #to = h("input", { type: "datetime-local", step: "1" });

  /** pick({from, to}) is called when it is sent; "" is no bound. */
  constructor(pick) {
    const submit = (e) => {
      e.preventDefault();
      const utc = (input) => (input.value ? new Date(input.value).toISOString() : "");
      pick({ from: utc(this.#from), to: utc(this.#to) });
    };
    this.element = h("form", { class: "range-form", hidden: true, onsubmit: submit },
      h("label", null, "From ", this.#from), h("label", null, "to ", this.#to), h("button", { type: "submit", class: "button" }, "Show"));
  }

  open() {
    this.element.hidden = false;
    this.#from.focus();
  }

  draw({ from, to }) {
    if (!this.element.hidden && this.element.contains(document.activeElement)) return;
    this.element.hidden = !from && !to;
    this.#from.value = local(from);
    this.#to.value = local(to);
  }
}

function local(at) {
  if (!at) return "";
  const d = new Date(at);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
