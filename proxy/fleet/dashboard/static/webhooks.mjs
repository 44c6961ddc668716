// The webhooks of who looks at the page: what they follow, and how their
// deliveries go.

import { endpoint, getJSON, request } from "./api.mjs";
import { now, onTick } from "./clock.mjs";
import { byId, h, keyed, setText } from "./dom.mjs";
import { ago, clockTime, count, duration, instant, whole } from "./format.mjs";
import { beat, setStream } from "./live.mjs";
import { confirmed, copyButton, toast } from "./notice.mjs";
import { format } from "./route.mjs";
import { badge } from "./statuses.mjs";

const EVERY = 3000; // ms; webhooks have no stream
const PAGE = 50;
const MOST = 1000; // that one list may have

const hookURL = (id, action = "") => endpoint(`v1/webhooks/${encodeURIComponent(id)}${action}`);

export class WebhooksPage {
  #list = h("ul", { class: "hooks panel" });
  #empty = h("div", { class: "panel empty" });
  #more = h("button", { type: "button", class: "button", onclick: () => this.#grow() }, "Show more");
  #back = h("a", { class: "back", href: "#" }, "← Fleet");
  #hooks = new Map();
  #limit = PAGE;
  #run = null;
  #login;

  /** login() resolves with whether a key of this page is missing, in which case it
   * has been asked for. */
  constructor(login) {
    this.#login = login;
    byId("webhooks").append(this.#back,
      h("header", null, h("h1", { id: "webhooks-title", tabindex: "-1" }, "Webhooks"),
        h("p", { class: "muted" }, "Registered with POST /v1/webhooks; each is told when its tasks have ended.")),
      this.#empty, this.#list, this.#more);
    onTick(() => this.#run && this.#hooks.forEach((hook) => hook.tick()));
  }

  /** show brings them up; back is the address of the view before. */
  show(back) {
    this.hide();
    this.#back.href = back;
    byId("webhooks").hidden = false;
    this.#empty.hidden = this.#list.hidden = this.#more.hidden = true;
    byId("webhooks-title").focus({ preventScroll: true });
    this.#run = new AbortController();
    setStream("webhooks", "connecting");
    this.#watch(this.#run.signal);
  }

  hide() {
    byId("webhooks").hidden = true;
    this.#run?.abort();
    this.#run = null;
    setStream("webhooks", null);
  }

  async refresh() {
    if (this.#run) await this.#read(this.#run.signal);
  }

  async #watch(signal) {
    while (!signal.aborted) {
      if (!document.hidden && !(await this.#read(signal))) return;
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  }

  // It resolves with whether it makes sense to ask again.
  async #read(signal) {
    try {
      const list = await getJSON(endpoint("v1/webhooks", { limit: this.#limit }), { signal });
      if (signal.aborted) return false;
      beat();
      setStream("webhooks", "live");
      this.#draw(list);
      await Promise.all([...this.#hooks.values()].map((hook) => hook.read(signal)));
      return true;
    } catch (err) {
      if (signal.aborted) return false;
      const over = [401, 403, 404].includes(err.status);
      setStream("webhooks", over ? "refused" : "waiting");
      if (err.status === 401 && (await this.#login())) return false;
      if (over) this.#say(err.status === 404 ? "This Pollux sends no webhooks." : err.message);
      return !over;
    }
  }

  #draw({ data, next_cursor: next }) {
    const make = (row) => {
      const hook = new Hook(row, () => this.refresh());
      this.#hooks.set(row.id, hook);
      return hook.element;
    };
    keyed(this.#list, data, (row) => row.id, make, (_, row) => this.#hooks.get(row.id).draw(row));
    for (const [id, hook] of this.#hooks) if (!hook.element.isConnected) this.#hooks.delete(id);
    this.#list.hidden = data.length === 0;
    this.#more.hidden = next === null || this.#limit >= MOST;
    if (data.length) this.#empty.hidden = true;
    else this.#say("No webhook is registered, or none that you may see.", h("p", null, h("bdi", { class: "code" }, `POST /v1/webhooks {"tasks": ["orq/my-agent/01K6"], "url": "https://…"}`)));
  }

  #say(text, ...more) {
    this.#empty.replaceChildren(h("p", null, text), ...more);
    this.#empty.hidden = false;
  }

  #grow() {
    this.#limit = Math.min(MOST, this.#limit + 4 * PAGE);
    this.refresh();
  }
}

const EVENTS = { terminal: "has ended", requires_action: "requires action" };
const TONES = { active: "good", gone: "warn", ended: "" };
const STATES = { active: "active", gone: "its receiver answered 410: nothing is sent any more", ended: "its client or upstreams were taken away" };

/** Hook is one, which opens. */
class Hook {
  #id;
  #changed;
  #state = h("span", { class: "pill" });
  #url = h("bdi", { class: "code" });
  #tasks = h("span", { class: "muted" });
  #sent = h("span");
  #created = h("time", { class: "muted" });
  #body = h("div", { class: "hook-body" });
  #details;

  constructor(row, changed) {
    this.#id = row.id;
    this.#changed = changed;
    this.#details = h("details", { ontoggle: () => this.#details.open && changed() },
      h("summary", null, this.#state, this.#url, this.#tasks, this.#sent, this.#created), this.#body);
    this.element = h("li", null, this.#details);
  }

  draw({ url, state, counts, created_at: created }) {
    setText(this.#state, state);
    this.#state.className = `pill ${TONES[state] ?? ""}`;
    this.#state.title = STATES[state] ?? "";
    setText(this.#url, url);
    setText(this.#tasks, words(counts, { watching: "watched", suspended: "suspended", done: "done" }, "no tasks"));
    setText(this.#sent, words(counts, { gave_up: "given up", pending: "pending", delivered: "delivered" }, "nothing sent yet"));
    this.#sent.className = counts.gave_up ? "bad" : counts.delivered || counts.pending ? "" : "muted";
    this.#created.dateTime = created;
    this.#created.title = `registered ${created}`;
    this.tick();
  }

  tick() {
    for (const time of this.element.querySelectorAll("summary time")) setText(time, ago(instant(time.dateTime), now()));
    for (const time of this.element.querySelectorAll("time.next")) setText(time, nextIn(time.dateTime));
  }

  /** read fetches what there is to see once it is open. */
  async read(signal) {
    if (!this.#details.open) return;
    try {
      const answer = await getJSON(hookURL(this.#id), { signal });
      const text = JSON.stringify(answer);
      if (this.#body.dataset.text === text) return; // so that a selection survives
      this.#body.dataset.text = text;
      this.#body.replaceChildren(...this.#contents(answer));
    } catch (err) {
      if (err.status === 404) this.#body.replaceChildren(h("p", { class: "muted" }, "It has ended."));
      else if (err.status > 0) throw err;
    }
  }

  #contents({ id, on, state, tasks, deliveries }) {
    const action = (label, f, kind = "") => h("button", { type: "button", class: `button ${kind}`, onclick: f }, label);
    return [
      h("div", { class: "row" },
        deliveries.length && state === "active" ? action("Redeliver", () => this.#redeliver(deliveries.length)) : null,
        action("End", () => this.#end(), "danger"),
        h("span", { class: "hook-id muted" }, h("bdi", { class: "code" }, id), copyButton("Copy the id", () => id, "the id"), ` · told when a task ${on.map((x) => EVENTS[x] ?? x).join(" or ")}`)),
      h("h2", null, "Tasks"), h("ul", { class: "hook-tasks" }, tasks.map(task)),
      h("h2", null, "Deliveries"), deliveries.length ? h("ul", { class: "hook-deliveries" }, deliveries.map(delivery)) : h("p", { class: "muted" }, "Nothing has been sent yet."),
    ];
  }

  async #redeliver(n) {
    const what = `${n === 1 ? "What was sent" : `All ${count(n)} messages`} will be sent again, with the same webhook-id: a receiver that checks it notices.`;
    if (await confirmed("Send again?", what, "Send again")) this.#post(hookURL(this.#id, ":redeliver"), "POST", "Sent again");
  }

  async #end() {
    if (await confirmed("End this webhook?", "Nothing more is sent, and what was sent is forgotten. The tasks themselves go on.", "End it")) {
      this.#post(hookURL(this.#id), "DELETE", "Ended");
    }
  }

  async #post(url, method, done) {
    try {
      await request(url, { method });
      toast(done);
    } catch (err) {
      toast(err.message);
    }
    this.#changed();
  }
}

function words(counts, names, none) {
  const all = Object.entries(names).filter(([name]) => counts[name]).map(([name, word]) => `${count(counts[name])} ${word}`);
  return all.join(", ") || none;
}

function task({ task: ref, status, state, problem }) {
  return h("li", null, status ? badge(status) : h("span", { class: "muted" }, "not known yet"),
    h("a", { class: "code", href: format({ view: "task", ref }) }, h("bdi", null, ref)),
    problem ? h("span", { class: "pill warn" }, problem) : null, state === "done" ? null : h("span", { class: "pill" }, state));
}

const DELIVERY = { pending: ["pending", "warn"], delivered: ["delivered", "good"], gave_up: ["given up", "bad"] };

function delivery({ id, type, state, attempts, next_attempt_at: next }) {
  const [word, tone] = DELIVERY[state] ?? [state, ""];
  return h("li", null,
    h("p", null, h("span", { class: `pill ${attempts.length || tone !== "warn" ? tone : ""}` }, word), h("strong", null, type), h("bdi", { class: "code muted" }, id),
      next ? h("time", { class: "next muted", datetime: next, title: next }, nextIn(next)) : null),
    h("ol", { class: "attempts" }, attempts.map(attempt)));
}

function attempt({ at, status_code: code, error, duration_ms: took }) {
  const well = code >= 200 && code < 300;
  return h("li", null, h("time", { datetime: at, title: at, class: "muted" }, clockTime(instant(at), now())),
    h("bdi", { class: well ? "" : "bad" }, [code, error].filter(Boolean).join(" · ") || "no answer"), h("span", { class: "muted" }, duration(took / 1000)));
}

function nextIn(at) {
  const left = (instant(at) - now()) / 1000;
  return left > 0 ? `next attempt in ${whole(Math.ceil(left))}` : "being sent";
}
