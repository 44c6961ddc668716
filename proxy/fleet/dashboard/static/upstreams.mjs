// One card per upstream: may it be asked, how much, and how well it answers.

import { Strip } from "./charts.mjs";
import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setAttr, setText } from "./dom.mjs";
import { ago, duration, instant, percent, short, whole } from "./format.mjs";
import { STATUSES, wordOf } from "./statuses.mjs";
import { inOrder, stateOf } from "./upstreamstate.mjs";

export class Upstreams {
  #list = h("ul", { class: "cards" });
  #cards = new Map();
  #chosen = "";
  #pick;

  /** pick(name) filters the table to an upstream. */
  constructor(pick) {
    this.#pick = pick;
    byId("upstreams").append(this.#list);
    onTick(() => this.#cards.forEach((card) => card.tick()));
  }

  /** draw shows what GET /v1/upstreams said. */
  draw(upstreams) {
    const make = (u) => {
      const card = new Card(u.name, () => this.#pick(u.name));
      this.#cards.set(u.name, card);
      return card.element;
    };
    keyed(this.#list, this.#inOrder(upstreams), (u) => u.name, make, (_, u) => this.#cards.get(u.name).draw(u));
    const names = new Set(upstreams.map((u) => u.name));
    for (const name of this.#cards.keys()) if (!names.has(name)) this.#cards.delete(name);
    this.mark(this.#chosen);
  }

  // Those in trouble first, unless somebody points at one or uses the keyboard.
  #inOrder(upstreams) {
    const used = this.#list.matches(":hover") || this.#list.contains(document.activeElement);
    const at = new Map([...this.#list.children].map((card, i) => [card.dataset.key, i]));
    if (used) return upstreams.toSorted((a, b) => (at.get(a.name) ?? Infinity) - (at.get(b.name) ?? Infinity) || 0);
    return inOrder(upstreams.map((u) => ({ name: u.name, state: stateOf(u, 0, now()), u }))).map((x) => x.u);
  }

  /** drawTasks adds the tasks of each, from the fleet. */
  drawTasks(fleet) {
    for (const [name, card] of this.#cards) card.drawTasks(fleet.tasks.by_upstream?.[name] ?? {});
  }

  /** mark shows to which upstream the table is filtered, "" for none. */
  mark(chosen) {
    this.#chosen = chosen;
    for (const [name, card] of this.#cards) card.mark(name === chosen);
  }
}

class Card {
  #name;
  #provider = h("bdi", { class: "muted" });
  #state = h("span", { class: "pill" });
  #pause = h("span", { class: "pill warn", hidden: true });
  #strip = new Strip(STATUSES, "mix");
  #values = {};
  #legend;
  #budget;
  #error = h("p", { class: "last-error", hidden: true });
  #upstream = null;
  #heard = 0; // performance.now() of the last answer

  constructor(name, onclick) {
    this.#name = h("button", { type: "button", class: "link name", "aria-pressed": "false", title: `Show only ${name}`, onclick }, h("bdi", null, name));
    this.#budget = new Budget();
    const facts = ["latency", "errors", "in flight", "polls"].map((word) => {
      this.#values[word] = h("dd", null, "–");
      return h("div", null, h("dt", null, word), this.#values[word]);
    });
    this.#legend = h("p", { class: "mix-legend muted" });
    this.element = h("li", { class: "card" },
      h("div", { class: "card-head" }, this.#name, this.#provider, h("span", { class: "pills" }, this.#pause, this.#state)),
      this.#strip.element, this.#legend, h("dl", { class: "facts" }, facts), this.#budget.element, this.#error);
  }

  draw(u) {
    this.#upstream = u;
    this.#heard = performance.now();
    setText(this.#provider, u.provider === u.name ? "" : u.provider);
    const { p50_seconds: p50, p99_seconds: p99 } = u.latency;
    setText(this.#values.latency, p50 === null ? "–" : `${duration(p50)} / ${duration(p99 ?? NaN)}`);
    this.#values.latency.title = "half of the answers within the first, 99 of 100 within the second";
    setText(this.#values.errors, percent(u.error_ratio));
    this.#values.errors.className = u.error_ratio >= 0.2 ? "bad" : u.error_ratio >= 0.02 ? "warn" : "";
    setText(this.#values["in flight"], short(u.in_flight));
    setText(this.#values.polls, `${short(u.polls.received)} → ${short(u.polls.upstream)}`);
    this.#values.polls.title = `${u.polls.received} polls in, ${u.polls.upstream} upstream polls out`;
    this.#budget.draw(u.budget);
    this.#drawError(u.last_error);
    this.tick();
  }

  drawTasks(byStatus) {
    this.#strip.draw(STATUSES.map((status) => byStatus[status] ?? 0));
    const there = STATUSES.filter((x) => byStatus[x]);
    this.#legend.hidden = this.#strip.element.classList.toggle("nothing", there.length === 0);
    const text = there.map((x) => `${x}${byStatus[x]}`).join();
    if (this.#legend.dataset.text === text) return;
    this.#legend.dataset.text = text;
    this.#legend.replaceChildren(...there.map((x) => h("span", null, h("i", { class: `key ${x}`, "aria-hidden": "true" }), `${short(byStatus[x])} ${wordOf(x)}`)));
  }

  mark(chosen) {
    setAttr(this.#name, "aria-pressed", String(chosen));
    this.element.classList.toggle("chosen", chosen);
  }

  /** tick moves the countdowns on between two answers. */
  tick() {
    const u = this.#upstream;
    if (!u) return;
    const left = (seconds) => Math.max(0, (seconds ?? 0) - (performance.now() - this.#heard) / 1000);
    const state = stateOf(u, (performance.now() - this.#heard) / 1000, now());
    setText(this.#state, state.text);
    this.#state.className = `pill ${state.tone}`;
    this.#state.title = `breaker ${u.breaker}`;
    const paused = left(u.paused_for_seconds);
    this.#pause.hidden = paused <= 0 || state.word === "paused";
    setText(this.#pause, `paused ${whole(Math.ceil(paused))}`);
    this.#pause.title = "the upstream asked for a pause (429)";
    this.#tickError();
  }

  #drawError(e) {
    this.#error.hidden = !e;
    if (!e) return;
    this.#error.replaceChildren(h("span", { class: "muted" }, "last error "), h("time", { datetime: e.at, class: "muted" }),
      h("bdi", null, [e.type, e.status].filter(Boolean).join(" ")), h("bdi", { class: "muted" }, e.detail ?? ""));
    this.#error.title = e.detail ?? "";
  }

  #tickError() {
    const time = this.#error.querySelector("time");
    if (time) setText(time, ago(instant(time.dateTime), now()));
  }
}

class Budget {
  #bar = h("meter", { min: 0 });
  #text = h("span");

  constructor() {
    this.element = h("p", { class: "budget" }, h("span", { class: "muted" }, "budget"), this.#bar, this.#text);
  }

  draw(budget) {
    this.element.hidden = !budget;
    if (!budget) return;
    const left = Math.max(0, Math.floor(budget.left));
    const most = budget.burst ?? budget.limit; // at a time
    Object.assign(this.#bar, { max: most, low: most * 0.1, high: most * 0.25, optimum: most, value: left });
    this.#bar.setAttribute("aria-label", "upstream polls left");
    setText(this.#text, `${left >= most ? "full" : `${short(left)} of ${short(most)} left`}, ${short(budget.limit)} per ${duration(budget.per_seconds)}`);
  }
}
