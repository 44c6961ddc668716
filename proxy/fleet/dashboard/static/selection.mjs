// Choosing tasks in the table, to cancel them together.

import { cancellable, cancelTasks, refusals } from "./cancel.mjs";
import { byId, h, setAttr, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { say, tell } from "./notice.mjs";
import { keyOf } from "./rows.mjs";

export class Selection {
  #chosen = new Set(); // keys of rows
  #shown; // () → rows
  #changed;
  #text = h("span");
  #cancel = h("button", { type: "button", class: "button danger", onclick: () => this.#ask() }, "Cancel them");
  #toggle = h("button", { type: "button", class: "button toggle", "aria-pressed": "false", onclick: () => this.toggle() }, "Select");
  on = false;

  /** shown() are the rows of the table; changed() is called when it has to be
   * drawn again. */
  constructor(shown, changed) {
    this.#shown = shown;
    this.#changed = changed;
    byId("tools").prepend(this.#toggle);
    byId("selection").append(this.#text,
      h("button", { type: "button", class: "button", onclick: () => this.#all() }, "All that run"),
      this.#cancel, h("button", { type: "button", class: "button", onclick: () => this.toggle() }, "Done"));
  }

  /** may says whether a row can be chosen. */
  may = (row) => !row.terminal && cancellable(row.ref);

  has = (row) => this.#chosen.has(keyOf(row));

  toggle() {
    this.on = !this.on;
    this.#chosen.clear();
    if (this.on) say("Choose tasks to cancel");
    this.#changed();
  }

  pick(row) {
    if (!this.may(row)) return;
    if (!this.#chosen.delete(keyOf(row))) this.#chosen.add(keyOf(row));
    this.#changed();
  }

  #all() {
    for (const row of this.#shown().filter(this.may)) this.#chosen.add(keyOf(row));
    this.#changed();
  }

  /** draw follows the rows: what has ended, or left the table, is no longer chosen. */
  draw() {
    setAttr(this.#toggle, "aria-pressed", String(this.on));
    byId("selection").hidden = !this.on;
    if (!this.on) return;
    const there = new Set(this.#shown().filter(this.may).map(keyOf));
    for (const key of this.#chosen) if (!there.has(key)) this.#chosen.delete(key);
    setText(this.#text, there.size ? `${count(this.#chosen.size)} of ${count(there.size)} that run here` : "None that runs here can be cancelled");
    this.#cancel.disabled = this.#chosen.size === 0;
  }

  async #ask() {
    const refused = await cancelTasks([...new Set(this.#shown().filter(this.has).map((row) => row.ref))]);
    if (refused === null) return;
    this.toggle();
    if (refused.length) await tell("Not all could be asked", refusals(refused));
  }
}
