// One row of the task table.

import { now } from "./clock.mjs";
import { h, setAttr, setText } from "./dom.mjs";
import { ago, duration, instant, whole } from "./format.mjs";
import { copyButton } from "./notice.mjs";
import { format } from "./route.mjs";
import { badge } from "./statuses.mjs";

/** COLUMNS are the headings with their classes, in order. */
export const COLUMNS = [
  ["Status", "c-status"], ["Task", "c-task"], ["Upstream", "c-upstream"], ["Reason or native status", "c-reason"],
  ["Model", "c-model"], ["Created", "c-time c-created"], ["Took", "c-time c-took"],
  ["Changed", "c-time c-changed"], ["Checked", "c-time c-checked"],
];

/** RowView draws a row and keeps its ages moving. */
export class RowView {
  #row;
  #several = false;
  #received = 0; // performance.now() when the row came
  #near = true; // whether it may be seen
  #pick = h("input", { type: "checkbox", class: "pick" });
  #status = h("button", { type: "button", class: "link status" });
  #note = h("span", { class: "note" });
  #link = h("a", { class: "ref", tabindex: "0" });
  #sub = h("span", { class: "sub muted" });
  #subReason = h("bdi", { class: "sub-reason" });
  #subUpstream = h("bdi", { class: "sub-upstream" });
  #upstream = h("button", { type: "button", class: "link" });
  #reason = h("bdi");
  #model = h("bdi");
  #created = h("time");
  #took = h("span");
  #changed = h("time");
  #checked = h("span");

  /** on has status(word) and upstream(name), the filters that a click sets, and
   * pick(row), which chooses it. */
  constructor(row, on) {
    this.#pick.addEventListener("change", () => on.pick(this.#row));
    this.#status.addEventListener("click", () => on.status(this.#row.status));
    this.#upstream.addEventListener("click", () => on.upstream(this.#row.upstream));
    const cells = [
      h("span", { class: "state" }, this.#pick, this.#status, this.#note),
      [h("span", { class: "id" }, this.#link, copyButton("Copy the id", () => this.#row.id, "the id")), this.#sub],
      this.#upstream, this.#reason, this.#model, this.#created, this.#took, this.#changed, this.#checked,
    ];
    this.element = h("tr", { tabindex: "-1", role: "row" }, cells.map((content, i) =>
      h(i === 1 ? "th" : "td", { class: COLUMNS[i][1], scope: i === 1 ? "row" : null, role: i === 1 ? "rowheader" : "cell" }, content)));
    this.element.dataset.ref = row.ref;
    this.#sub.append(this.#subUpstream, this.#subReason);
    this.draw(row, {});
  }

  /** draw shows row; left greys it, since it no longer belongs to the view,
   * several says that other rows have its reference, chosen and may whether it is,
   * and can be, chosen. */
  draw(row, { left = false, several = false, chosen = false, may = false }) {
    this.element.classList.toggle("left", left);
    this.element.classList.toggle("chosen", chosen);
    this.#pick.checked = chosen;
    this.#pick.disabled = !may;
    if (row === this.#row && several === this.#several) return;
    this.#several = several;
    const before = this.#row;
    this.#row = row;
    this.#received = performance.now();
    if (before?.status !== row.status) {
      this.#status.replaceChildren(badge(row.status));
      this.#status.title = `Show only ${row.status}`;
      if (before) this.#flash();
    }
    this.#note.replaceChildren(...notes(row, several));
    setText(this.#link, row.id);
    this.#link.href = format({ view: "task", ref: row.ref });
    this.#link.title = row.id;
    this.#pick.setAttribute("aria-label", `Select ${row.id}`);
    setText(this.#subUpstream, row.upstream);
    setText(this.#upstream, row.upstream);
    this.#upstream.title = `Show only ${row.upstream}`;
    const { text, failed } = reasonOf(row);
    setText(this.#reason, text ?? "–");
    this.#reason.className = failed ? "reason" : "code";
    setAttr(this.#reason, "title", text);
    setText(this.#subReason, failed ? text : "");
    setText(this.#model, row.model ?? "–");
    setAttr(this.#model, "title", row.model);
    stamp(this.#created, row.created_at ?? row.first_seen, row.created_at ? "created" : "first seen by Pollux");
    stamp(this.#changed, row.updated_at, "last changed");
    this.#age();
  }

  /** come says whether the row is near what is seen. */
  come(near) {
    this.#near = near;
    this.tick();
  }

  /** tick moves the ages on where they are seen. */
  tick() {
    if (this.#near) this.#age();
  }

  #age() {
    const row = this.#row;
    const present = now();
    setText(this.#created, ago(instant(row.created_at ?? row.first_seen), present));
    setText(this.#changed, ago(instant(row.updated_at), present));
    setText(this.#checked, whole(row.age + (performance.now() - this.#received) / 1000));
    const [took, title] = lasted(row, present);
    setText(this.#took, took);
    this.#took.className = row.terminal ? "" : "muted";
    this.#took.title = title;
  }

  #flash() {
    this.element.classList.remove("flash");
    void this.element.offsetWidth; // starts the animation anew
    this.element.classList.add("flash");
  }
}

/** reasonOf is what a row says of why it is as it is, in one line: of a failure
 * its message, else the word of the upstream. Pure. */
export function reasonOf(row) {
  const message = row.error?.message?.replace(/\s+/g, " ").trim();
  return message ? { text: message, failed: true } : { text: row.native_status, failed: false };
}

function notes(row, several) {
  const all = [];
  if (several && row.key) all.push(h("span", { class: "pill", title: "This reference is known under several credentials; each has a row of its own." }, `key ${row.key.slice(0, 4)}`));
  if (row.stuck) all.push(h("span", { class: "pill warn", title: "running far longer than its like" }, "stuck"));
  if (row.error?.code) all.push(h("bdi", { class: "code", title: row.error.code }, row.error.code));
  return all;
}

function stamp(time, at, what) {
  time.dateTime = at;
  time.title = `${what} ${at}`;
}

/** lasted says how long a task took, or runs already; a sign marks what is
 * only as exact as Pollux saw it. Pure. */
export function lasted(row, present) {
  const from = instant(row.created_at ?? row.first_seen);
  if (!row.terminal) return [whole((present - from) / 1000), "running so long"];
  const exact = row.created_at && row.completed_at;
  const seconds = (instant(row.completed_at ?? row.updated_at) - from) / 1000;
  if (!(seconds >= 0)) return ["–", ""];
  return exact ? [duration(seconds), ""] : [`≈ ${duration(seconds)}`, "as Pollux saw it"];
}
