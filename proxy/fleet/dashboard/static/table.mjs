// The live task table.

import { listURL, openStream } from "./api.mjs";
import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { beat, setStream } from "./live.mjs";
import { copy, say } from "./notice.mjs";
import { firstPage, nextPage, PAGE } from "./pages.mjs";
import { isFiltered } from "./route.mjs";
import { COLUMNS, RowView } from "./row.mjs";
import { comparing, keyOf, matching, MANY, Rows } from "./rows.mjs";
import { Selection } from "./selection.mjs";
import { follow } from "./sse.mjs";
import { page } from "./visible.mjs";

const TOO_LONG = 400; // rows after which a table that grew by itself starts anew

export class Table {
  #rows = new Rows();
  #views = new Map();
  #body = h("tbody", { role: "rowgroup" });
  #table;
  #empty = h("div", { class: "empty", hidden: true });
  #more = h("button", { type: "button", class: "button", onclick: () => this.#loadMore() }, "Show more");
  #shownNote = h("span", { class: "muted" });
  #new = byId("new");
  #state = null;
  #cursor = null;
  #loaded = PAGE;
  #run = null; // AbortController of the view on show
  #queued = false;
  #on;
  selection = new Selection(() => this.#rows.shown, () => this.#state && this.#draw());

  /** on has open(ref), status(word), upstream(name), clear() and
   * problem(err, again), again being what to do once the problem is solved. */
  constructor(on) {
    this.#on = on;
    const head = h("tr", { role: "row" }, COLUMNS.map(([name, c]) => h("th", { scope: "col", class: c, role: "columnheader" }, name)));
    this.#table = h("table", { role: "table", "aria-labelledby": "tasks-title" }, h("thead", { role: "rowgroup" }, head), this.#body);
    byId("table-wrap").append(this.#table, this.#empty);
    byId("tasks-foot").append(this.#shownNote, this.#more);
    this.#new.addEventListener("click", () => this.showNew());
    this.#body.addEventListener("click", (e) => this.#click(e));
    // Ages move in rows that the browser draws: of thousands that is a page.
    this.#body.addEventListener("contentvisibilityautostatechange", (e) => this.#views.get(e.target.dataset.key)?.come(!e.skipped));
    onTick(() => this.#tick());
  }

  /** show follows a view until the next one, or stop. */
  async show(state) {
    this.stop();
    const known = this.#state !== null && JSON.stringify(state) === JSON.stringify(this.#state);
    this.#state = state;
    this.#run = new AbortController();
    await this.#load(this.#run.signal, !known);
  }

  stop() {
    this.#run?.abort();
    this.#run = null;
    setStream("tasks", null);
  }

  /** refresh fetches the rows anew. */
  refresh() {
    if (this.#state) this.show(this.#state);
  }

  async #load(signal, announce) {
    this.#table.setAttribute("aria-busy", "true");
    try {
      const { rows, cursor } = await firstPage(this.#state, signal);
      this.#cursor = cursor;
      this.#loaded = Math.max(PAGE, rows.length);
      this.#rows.replace(rows, {
        compare: comparing(this.#state.sort, this.#state.trouble), matches: matching(this.#state), complete: cursor === null,
      });
      this.#draw();
      if (announce) say(`${this.#rows.shown.length} tasks shown`);
    } catch (err) {
      if (signal.aborted) return;
      if (err.status > 0 && err.status < 500 && err.status !== 429) {
        setStream("tasks", "refused");
        return this.#on.problem(err);
      }
      // The stream, which tries until it is connected, then loads the rows.
    } finally {
      this.#table.removeAttribute("aria-busy");
    }
    this.#follow(signal);
  }

  #follow(signal) {
    let connections = 0;
    follow({
      open: (_, s) => openStream(listURL({ ...this.#state, status: [], terminal: "" }, now(), { limit: PAGE }), { signal: s }),
      signal,
      visible: page,
      beat,
      event: (e) => e.event === "row" && this.#take(JSON.parse(e.data)),
      state: (word, milliseconds) => {
        if (signal.aborted) return;
        setStream("tasks", word, milliseconds);
        if (word === "live" && ++connections > 1) this.#missed(signal);
      },
      problem: (err) => this.#on.problem(err),
    });
  }

  // What happened while the stream was away is in the list only.
  async #missed(signal) {
    try {
      const { rows } = await firstPage(this.#state, signal);
      rows.forEach((row) => this.#take(row));
    } catch {
      // The stream is about to say the same.
    }
  }

  #take(row) {
    if (this.#rows.take(row) !== "ignored") this.#soon();
  }

  // Many rows may change at once; they are drawn a few times a second.
  #soon() {
    if (this.#queued) return;
    this.#queued = true;
    setTimeout(() => {
      this.#queued = false;
      this.#draw();
    }, 200);
  }

  #draw() {
    const { selection } = this;
    const on = { status: this.#on.status, upstream: this.#on.upstream, pick: (row) => selection.pick(row) };
    this.#table.classList.toggle("selecting", selection.on);
    const make = (row) => {
      const view = new RowView(row, on);
      this.#views.set(keyOf(row), view);
      return view.element;
    };
    const severals = this.#rows.severals;
    keyed(this.#body, this.#rows.shown, keyOf, make, (_, row) =>
      this.#views.get(keyOf(row)).draw(row, { left: this.#rows.left(row), several: severals.has(row.ref), chosen: selection.has(row), may: selection.may(row) }));
    for (const [key, view] of this.#views) if (!view.element.isConnected) this.#views.delete(key);
    selection.draw();
    this.#drawNew();
    this.#drawFoot();
  }

  #drawNew() {
    const n = this.#rows.waiting;
    this.#new.hidden = n === 0 || !this.#inUse();
    setText(this.#new, `${this.#rows.overflowed ? `more than ${MANY}` : count(n)} new`);
  }

  #drawFoot() {
    const n = this.#rows.shown.length;
    this.#table.hidden = n === 0;
    this.#empty.hidden = n > 0;
    this.#more.hidden = this.#cursor === null;
    setText(this.#shownNote, n ? `${count(n)} shown${this.#cursor === null ? ", that is all" : ""}` : "");
    if (n > 0) return;
    if (isFiltered(this.#state)) {
      this.#empty.replaceChildren(h("p", null, "No task matches these filters."),
        h("button", { type: "button", class: "button", onclick: this.#on.clear }, "Clear the filters"));
    } else {
      this.#empty.replaceChildren(h("p", null, "No tasks yet. One appears as soon as it is created or polled through Pollux."));
    }
  }

  async #loadMore() {
    const signal = this.#run?.signal;
    if (!signal || this.#cursor === null) return;
    this.#more.disabled = true;
    try {
      const { rows, cursor } = await nextPage(this.#state, this.#cursor, signal);
      this.#cursor = cursor;
      this.#rows.append(rows, cursor === null);
      this.#loaded = this.#rows.shown.length;
      this.#draw();
    } catch (err) {
      if (!signal.aborted) this.#on.problem(err);
    } finally {
      this.#more.disabled = false;
    }
  }

  /** showNew puts in the rows that wait. */
  showNew() {
    if (this.#rows.waiting === 0) return;
    if (this.#rows.overflowed) return this.refresh();
    this.#rows.merge();
    this.#draw();
  }

  drop(ref) {
    this.#rows.drop(ref);
    this.#draw();
  }

  /** find returns the reference of the row that text names: its id, or the only
   * row shown. "" if that is unclear. */
  find(text) {
    const rows = this.#rows.shown;
    const exact = rows.filter((row) => row.id === text || row.ref === text);
    if (exact.length === 1) return exact[0].ref;
    return rows.length === 1 ? rows[0].ref : "";
  }

  /** move puts the focus so many rows further. */
  move(by) {
    const rows = [...this.#body.children];
    if (rows.length === 0) return;
    const at = rows.indexOf(this.#focused());
    const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
    rows[next].focus();
    rows[next].scrollIntoView({ block: "nearest" });
  }

  /** focus puts the focus on the row of a task, if it is shown. */
  focus(ref) {
    [...this.#body.children].find((row) => row.dataset.ref === ref)?.focus({ preventScroll: true });
  }

  openFocused() {
    const row = this.#focused();
    if (row) this.#use(row);
  }

  copyFocused() {
    const ref = this.#focused()?.dataset.ref;
    const row = this.#rows.shown.find((x) => x.ref === ref);
    if (row) copy(row.id, "the id");
  }

  #focused() {
    return document.activeElement?.closest?.("tbody tr[data-ref]") ?? null;
  }

  #click(e) {
    const row = e.target.closest("tr");
    const link = e.target.closest("a");
    if (!row || e.target.closest("button, input") || (link && !this.selection.on) || String(getSelection())) return;
    e.preventDefault();
    this.#use(row);
  }

  // A row is opened, or while tasks are chosen, chosen.
  #use(row) {
    if (!this.selection.on) return this.#on.open(row.dataset.ref);
    this.selection.pick(this.#rows.shown.find((x) => keyOf(x) === row.dataset.key));
  }

  #tick() {
    if (!this.#run) return;
    for (const view of this.#views.values()) view.tick();
    if (this.#rows.waiting === 0) return;
    if (this.#inUse()) return this.#drawNew();
    if (this.#rows.shown.length + this.#rows.waiting > Math.max(TOO_LONG, 2 * this.#loaded)) this.refresh();
    else this.showNew();
  }

  // Rows may move while nobody points at them, reads by touch or by keyboard,
  // or has scrolled past the first.
  #inUse() {
    return matchMedia("(hover: none)").matches || byId("tasks").matches(":hover") || byId("tasks").contains(document.activeElement) ||
      this.#body.getBoundingClientRect().top < 0 || !getSelection().isCollapsed;
  }
}
