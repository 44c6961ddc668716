// The filters of the table: chips for what is set, and the tools that set them.

import { byId, h, setText } from "./dom.mjs";
import { everything, isFiltered, SPANS, toggled } from "./route.mjs";
import { Range, rangeText } from "./range.mjs";
import { badge } from "./statuses.mjs";

const ORDERS = {
  "-created_at": "Newest first", created_at: "Oldest first", "-updated_at": "Last changed first",
  updated_at: "Longest unchanged first", "-completed_at": "Last completed first", completed_at: "First completed first",
};
const SPAN_WORDS = { "": "Any time", "15m": "Last 15 minutes", "1h": "Last hour", "6h": "Last 6 hours", "24h": "Last day", "7d": "Last 7 days" };
const RANGE = "range"; // the choice that opens the fields for two times
const ENDS = { "": "Running and ended", false: "Running", true: "Ended" };

export class Filters {
  #state = everything;
  #go;
  #trouble = h("button", { type: "button", class: "button toggle", "aria-pressed": "false", onclick: () => this.trouble() }, "Trouble first");
  #ends = this.#select("Running or ended", ENDS, "terminal");
  #span = this.#select("Created within", SPAN_WORDS, "since");
  #range = new Range((range) => this.#set({ ...range, since: "" }));
  #order = this.#select("Order", ORDERS, "sort");

  /** go(state) shows another view. */
  constructor(go) {
    this.#go = go;
    byId("tools").append(this.#trouble, this.#ends.label, this.#span.label, this.#order.label, this.#range.element);
    this.#span.element.append(h("option", { value: RANGE }, "From … to …"));
  }

  #select(label, words, member) {
    const element = h("select", { onchange: () => this.#set({ [member]: element.value }) },
      Object.entries(words).map(([value, word]) => h("option", { value }, word)));
    return { element, label: h("label", null, h("span", { class: "hush" }, label), element) };
  }

  #set(changes) {
    if (changes.since === RANGE) return this.#range.open();
    if (changes.since !== undefined) changes = { from: "", to: "", ...changes };
    this.#go({ ...this.#state, ...changes });
  }

  trouble() {
    this.#set({ trouble: !this.#state.trouble });
  }

  window(word) {
    this.#set({ window: word });
  }

  status(word) {
    this.#go(toggled(this.#state, word));
  }

  /** upstream shows only one, or all again if it is the one. */
  upstream(name) {
    this.#set({ upstream: this.#state.upstream === name ? "" : name });
  }

  clear() {
    this.#go({ ...everything, sort: this.#state.sort, window: this.#state.window });
  }

  draw(state) {
    this.#state = state;
    this.#trouble.setAttribute("aria-pressed", String(state.trouble));
    this.#ends.element.value = state.terminal;
    this.#span.element.value = state.from || state.to ? RANGE : state.since;
    this.#range.draw(state);
    this.#order.element.value = state.sort;
    const chips = state.status.map((word) => chip(badge(word), word, () => this.status(word)));
    if (state.upstream) chips.push(chip(h("bdi", null, state.upstream), state.upstream, () => this.#set({ upstream: "" })));
    if (state.q) chips.push(chip(h("bdi", null, `“${state.q}”`), state.q, () => this.#set({ q: "" })));
    if (state.since) chips.push(chip(SPAN_WORDS[state.since], SPAN_WORDS[state.since], () => this.#set({ since: "" })));
    if (state.from || state.to) chips.push(chip(h("bdi", null, rangeText(state)), rangeText(state), () => this.#set({ from: "", to: "" })));
    if (state.terminal) chips.push(chip(ENDS[state.terminal], ENDS[state.terminal], () => this.#set({ terminal: "" })));
    if (chips.length > 1) chips.push(h("button", { type: "button", class: "link", onclick: () => this.clear() }, "Clear all"));
    byId("chips").replaceChildren(...chips);
    setText(byId("tasks-title"), isFiltered(state) ? "Tasks that match" : "Tasks");
  }
}

function chip(content, name, remove) {
  return h("button", { type: "button", class: "chip", "aria-label": `Remove the filter ${name}`, title: "Remove this filter", onclick: remove },
    content, h("span", { "aria-hidden": "true" }, "×"));
}
