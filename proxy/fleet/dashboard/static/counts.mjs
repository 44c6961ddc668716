// The first line of the page: how many tasks are in each status, and how that
// went over the last minutes.

import { Chart } from "./charts.mjs";
import { now } from "./clock.mjs";
import { byId, h, setAttr, setText } from "./dom.mjs";
import { ago, count, instant, short } from "./format.mjs";
import { arrivals, reach } from "./past.mjs";
import { WINDOWS } from "./route.mjs";
import { setSubject } from "./title.mjs";
import { icon, isTerminal, STATUSES, wordOf } from "./statuses.mjs";

export class Counts {
  #cells = new Map();
  #summary;

  /** pick(status) is called for a cell, trouble() for the stuck ones, open(ref)
   * for the oldest task, window(word) for what the numbers are about. */
  constructor({ pick, trouble, open, window }) {
    this.#summary = new Summary(trouble, open, window);
    for (const status of STATUSES) {
      const cell = new Cell(status, () => pick(status));
      this.#cells.set(status, cell);
      byId("counts").append(cell.element);
    }
  }

  draw(fleet, _, window) {
    const text = reach(fleet.history, window);
    for (const [status, cell] of this.#cells) {
      cell.draw(fleet.tasks.by_status[status] ?? 0, fleet.history.by_status[status] ?? [], text);
    }
    this.#summary.draw(fleet, text);
  }

  /** mark shows which statuses the table is filtered to, and the window. */
  mark({ status: chosen, window }) {
    this.#summary.mark(window);
    for (const [status, cell] of this.#cells) {
      setAttr(cell.element, "aria-pressed", String(chosen.includes(status)));
    }
    byId("counts").classList.toggle("some", chosen.length > 0);
  }
}

class Cell {
  #number = h("span", { class: "number" }, "–");
  #chart;
  #status;

  constructor(status, onclick) {
    this.#status = status;
    this.#chart = new Chart([status], "spark");
    this.element = h("button", { type: "button", class: `count ${status}`, "aria-pressed": "false", onclick },
      h("span", { class: "name" }, icon(status), wordOf(status)), this.#number, this.#chart.element);
  }

  draw(n, points, text) {
    const ended = isTerminal(this.#status);
    setText(this.#number, short(n));
    this.element.title = `${count(n)}. The line: how many ${ended ? "became so" : "there were"}, over ${text}`;
    this.element.classList.toggle("none", n === 0);
    this.#chart.draw([ended ? arrivals(points) : points]);
  }
}

class Summary {
  #total = h("strong", null, "–");
  #stuck;
  #oldest;
  #words = h("span", null, "tasks");
  #lines = h("span");
  #window;
  #ref = "";

  constructor(trouble, open, pick) {
    this.#window = h("select", { onchange: () => pick(this.#window.value) }, Object.entries(WINDOWS).map(([value, word]) => h("option", { value }, word)));
    this.#stuck = h("button", { type: "button", class: "link warn", onclick: trouble, hidden: true });
    this.#oldest = h("button", { type: "button", class: "link", hidden: true, onclick: () => open(this.#ref) });
    byId("summary").append(
      h("span", { class: "lately" }, this.#total, " ", this.#words, " ", h("label", null, h("span", { class: "hush" }, "What counts, failures and savings are about"), this.#window)),
      this.#stuck, this.#oldest, this.#lines);
  }

  mark(window) {
    this.#window.value = window;
  }

  draw(fleet, text) {
    setText(this.#lines, `lines: ${text}`);
    const { total, stuck } = fleet.tasks;
    setText(this.#total, count(total));
    setText(this.#words, this.#window.value === "all" ? "tasks of" : `${total === 1 ? "task" : "tasks"} changed in`);
    this.#stuck.hidden = !stuck;
    setText(this.#stuck, `${count(stuck)} stuck`);
    const oldest = fleet.oldest;
    this.#oldest.hidden = !oldest;
    if (oldest) {
      this.#ref = oldest.ref;
      const since = instant(oldest.created_at ?? oldest.first_seen);
      setText(this.#oldest, `oldest unfinished: ${oldest.upstream}, ${ago(since, now())}`);
      this.#oldest.title = oldest.id;
    }
    setSubject(stuck ? `${count(stuck)} stuck · Pollux` : "Pollux");
  }
}
