// The fleet: counts, table and panels, fed by two streams and one poll.

import { endpoint, openStream } from "./api.mjs";
import { sync } from "./clock.mjs";
import { Counts } from "./counts.mjs";
import { byId, h, setText } from "./dom.mjs";
import { Durations } from "./durations.mjs";
import { Failures } from "./failures.mjs";
import { Filters } from "./filters.mjs";
import { beat, setStream } from "./live.mjs";
import { Replicas } from "./replicas.mjs";
import { WINDOWS } from "./route.mjs";
import { Savings } from "./savings.mjs";
import { follow } from "./sse.mjs";
import { partOf } from "./session.mjs";
import { alone } from "./sharing.mjs";
import { States } from "./states.mjs";
import { Table } from "./table.mjs";
import { readUpstreams } from "./upstreamlist.mjs";
import { Upstreams } from "./upstreams.mjs";
import { page } from "./visible.mjs";

// ms; breakers and pauses have no stream of their own. The title of a tab out of
// sight says them too, later.
const UPSTREAMS_EVERY = 500;
const UPSTREAMS_EVERY_HIDDEN = 10_000;

const SECTIONS = { tasks: "Tasks", savings: "Savings", failures: "Failures", upstreams: "Upstreams", durations: "How long tasks take" };

export class Overview {
  #run = null;
  #fleet = null;
  #scroll = 0;
  #window = "";
  #watching = null;
  #login;

  /** go(state) shows another view; login() resolves with whether a key of this
   * page is missing, in which case it has been asked for. */
  constructor({ go, login }) {
    this.#login = login;
    const open = (ref) => go({ view: "task", ref });
    this.filters = new Filters(go);
    const { filters } = this;
    const on = { open, status: (word) => filters.status(word), upstream: (name) => filters.upstream(name), clear: () => filters.clear() };
    this.table = new Table({ ...on, problem: (err) => this.#refused("tasks", err) });
    this.counts = new Counts({ pick: on.status, trouble: () => filters.trouble(), open, window: (word) => filters.window(word) });
    this.states = new States(on.upstream);
    this.upstreams = new Upstreams(on.upstream);
    this.replicas = new Replicas();
    this.panels = [this.counts, new Savings(), new Failures(), new Durations()];
    byId("jump").append(...Object.entries(SECTIONS).map(([id, word]) => h("button", { type: "button", class: "link", onclick: () => jump(id) }, word)));
  }

  /** show brings the fleet up in a view; what was on show before stays until the
   * new rows are there. */
  show(state) {
    byId("overview").hidden = false;
    this.filters.draw(state);
    this.counts.mark(state);
    this.states.mark(state.upstream);
    this.upstreams.mark(state.upstream);
    const back = this.#run === null || this.#window !== state.window;
    const returns = this.#run === null;
    this.#window = state.window;
    if (back) this.#start();
    this.table.show(state);
    if (returns) scrollTo({ top: this.#scroll, behavior: "instant" });
  }

  hide() {
    this.#scroll = scrollY;
    byId("overview").hidden = true;
    this.#run?.abort();
    this.#run = null;
    this.table.stop();
    setStream("fleet", null);
  }

  refresh() {
    this.table.refresh();
    if (this.#watching) this.#readUpstreams(this.#watching.signal);
  }

  #start() {
    this.#run?.abort();
    this.#run = new AbortController();
    const { signal } = this.#run;
    byId("fleet-note").hidden = partOf() === "";
    setText(byId("fleet-note"), `This is what the key ${partOf()} sees: a part of the whole. A key with the scope fleet sees all of it.`);
    follow({
      open: (_, s) => openStream(endpoint("v1/fleet", { window: this.#window }), { signal: s }),
      signal,
      visible: page,
      beat,
      event: (e) => !signal.aborted && e.event === "fleet" && this.#draw(JSON.parse(e.data)),
      state: (word, milliseconds) => {
        if (!signal.aborted) setStream("fleet", word, milliseconds);
      },
      problem: (err) => {
        setStream("fleet", null);
        this.#refused("fleet", err);
      },
    });
  }

  /** watch follows the upstreams, whatever page is on show: the sign at the top and
   * the title of the tab tell of their trouble. */
  async watch() {
    if (this.#watching) return;
    this.#watching = new AbortController();
    const { signal } = this.#watching;
    while (!signal.aborted) {
      if (!(await this.#readUpstreams(signal))) return;
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? UPSTREAMS_EVERY_HIDDEN : UPSTREAMS_EVERY));
    }
  }

  unwatch() {
    this.#watching?.abort();
    this.#watching = null;
  }

  // It resolves with whether it makes sense to ask again.
  async #readUpstreams(signal) {
    try {
      const all = await readUpstreams(signal);
      if (signal.aborted) return false;
      this.states.draw(all);
      this.upstreams.draw(all);
      if (this.#fleet) this.upstreams.drawTasks(this.#fleet);
      return true;
    } catch (err) {
      return err.status !== 401 && err.status !== 403 && err.status !== 404;
    }
  }

  #draw(fleet) {
    sync(fleet.at);
    this.replicas.draw(fleet);
    if (alone(fleet)) return; // of the rest it tells what is in memory only
    this.#fleet = fleet;
    for (const panel of this.panels) panel.draw(fleet, WINDOWS[this.#window], this.#window);
    this.upstreams.drawTasks(fleet);
  }

  async #refused(what, err) {
    if (err.status === 401 && (await this.#login())) return;
    const note = byId("fleet-note");
    note.hidden = false;
    setText(note, reason(what, err));
  }
}

function reason(what, err) {
  if (err.status === 401) return "This Pollux shows nobody the whole fleet. Type a task's reference above, such as orq/my-agent/01K6, to read it with its credential.";
  if (err.status === 403 && what === "fleet") return "This key may not see the whole fleet. Its own tasks are below.";
  return `${what === "fleet" ? "The numbers" : "The task list"} cannot be shown: ${err.message}`;
}

function jump(id) {
  byId(id).scrollIntoView();
  byId(id).focus({ preventScroll: true });
}
