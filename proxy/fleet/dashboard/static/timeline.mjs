// The states that a task went through, as a bar and as a list.

import { now } from "./clock.mjs";
import { h, s } from "./dom.mjs";
import { clockTime, duration, instant, whole } from "./format.mjs";
import { icon, isTerminal, known, wordOf } from "./statuses.mjs";

/** steps makes of a history what is drawn: for each state its start and its end
 * in milliseconds; the last runs until present unless the task has ended.
 * Time between the creation and what Pollux first saw is a step of its own,
 * with the status null. Pure. */
export function steps(history, createdAt, present) {
  const seen = history.map((entry) => ({ ...entry, from: instant(entry.at) }))
    .filter((entry) => Number.isFinite(entry.from))
    .sort((a, b) => a.from - b.from);
  if (seen.length === 0) return [];
  const created = instant(createdAt);
  if (created < seen[0].from - 1000) seen.unshift({ status: null, native_status: null, from: created, word: "created, not yet seen by Pollux" });
  return seen.map((entry, i) => {
    const next = seen[i + 1]?.from;
    const runs = next === undefined && !isTerminal(entry.status);
    return { ...entry, runs, to: next ?? (runs ? Math.max(present, entry.from) : entry.from) };
  });
}

/** historyOf is what a row of a list tells of a task's history: when Pollux saw
 * it first, and what it is since its last change. Pure. */
export function historyOf(row) {
  const last = { status: row.status, native_status: row.native_status, at: row.updated_at };
  if (!(instant(row.first_seen) < instant(row.updated_at))) return [last];
  return [{ status: null, native_status: null, at: row.first_seen, word: "first seen by Pollux" }, { ...last, poll: "its last change" }];
}

export class Timeline {
  #bar = s("svg", { class: "strip timeline-bar", "aria-hidden": "true" });
  #list = h("ol", { class: "timeline" });
  #reads = [];
  #history = [];
  #created = null;

  constructor() {
    this.element = h("section", { class: "panel", "aria-labelledby": "timeline-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "timeline-title" }, "Timeline")), this.#bar, this.#list);
  }

  draw(history, created) {
    this.#history = history;
    this.#created = created;
    this.tick(true);
  }

  /** read adds a poll that this page made, with what Pollux said about it. */
  read(text) {
    this.#reads = [...this.#reads.slice(-19), { read: text, from: now() }];
    this.tick(true);
  }

  /** tick lets the last state grow; the list is built anew when all is true. */
  tick(all = false) {
    const states = steps(this.#history, this.#created, now());
    this.#drawBar(states);
    if (all) {
      const lines = [...states, ...this.#reads].sort((a, b) => a.from - b.from);
      this.#list.replaceChildren(...lines.map((line) => (line.read ? readLine(line) : stateLine(line))));
    }
    const last = states.at(-1);
    const running = this.#list.querySelector(".running");
    if (running && last) running.textContent = `for ${whole((last.to - last.from) / 1000)}`;
  }

  #drawBar(states) {
    const from = states[0]?.from;
    const span = (states.at(-1)?.to ?? 0) - from;
    this.#bar.replaceChildren(...states.filter((x) => x.to > x.from && span > 0).map((x) =>
      s("rect", { class: `part ${x.status === null ? "unseen" : known(x.status)}`, y: 0, height: "100%",
        x: `${(((x.from - from) / span) * 100).toFixed(3)}%`, width: `${(((x.to - x.from) / span) * 100).toFixed(3)}%` })));
    this.#bar.classList.toggle("nothing", !(span > 0));
  }
}

function stateLine(state) {
  const lasted = state.runs || (state.to > state.from && !isTerminal(state.status));
  return h("li", { class: state.status === null ? "unseen" : known(state.status) },
    h("span", { class: "when" }, h("time", { datetime: new Date(state.from).toISOString() }, clockTime(state.from, now()))),
    state.status === null ? h("span", { class: "sign" }) : icon(state.status),
    h("span", { class: "what" }, h("strong", null, state.word ?? wordOf(state.status)),
      state.native_status ? h("bdi", { class: "code" }, state.native_status) : null,
      pollNote(state.poll)),
    h("span", { class: state.runs ? "lasted muted running" : "lasted muted" }, lasted ? `for ${(state.runs ? whole : duration)((state.to - state.from) / 1000)}` : ""));
}

function readLine(line) {
  return h("li", { class: "read muted" },
    h("span", { class: "when" }, h("time", { datetime: new Date(line.from).toISOString() }, clockTime(line.from, now()))),
    h("span", { class: "sign dot" }), h("span", { class: "what" }, line.read), h("span"));
}

// What is known of the poll that brought a state: a number, a word or members.
function pollNote(poll) {
  if (poll === null || poll === undefined) return null;
  const text = typeof poll === "object" ? Object.entries(poll).map(([k, v]) => `${k} ${v}`).join(", ") : typeof poll === "number" ? `poll ${poll}` : poll;
  return h("bdi", { class: "muted poll" }, text);
}
