// The page of one task, live until the task has ended.

import { decoded, openStream, Problem, request, rowURL, taskURL, upstreamOf } from "./api.mjs";
import { cancellable, cancelTasks } from "./cancel.mjs";
import { onTick } from "./clock.mjs";
import { askCredential, placeOf } from "./credentialform.mjs";
import { headerNameFor, headersFor } from "./credentials.mjs";
import { curl } from "./curl.mjs";
import { byId, h } from "./dom.mjs";
import { facts, factsOfRow, output, progress, tick, trouble } from "./facts.mjs";
import { members, show, without } from "./json.mjs";
import { keyOf } from "./rows.mjs";
import { beat, setStream } from "./live.mjs";
import { confirmed, copy, copyButton, say, toast } from "./notice.mjs";
import { follow } from "./sse.mjs";
import { badge, wordOf } from "./statuses.mjs";
import { historyOf, Timeline } from "./timeline.mjs";
import { setSubject } from "./title.mjs";
import { page } from "./visible.mjs";

const WITH = { include: "native,history" };

export class TaskPage {
  #ref = "";
  #id = "";
  #status = "";
  #history = [];
  #row = null; // the last of the list, while the document is not to be seen
  #knownTo = null; // signal of the run that follows the row
  #run = null;
  #timeline = null;
  #parts = {};
  #on;
  #back = "#";

  /** on has gone(ref) after a task was forgotten, and login(): whether the key
   * of this page is missing, in which case it has been asked for. */
  constructor(on) {
    this.#on = on;
    onTick(() => {
      if (!this.#timeline) return;
      this.#timeline.tick();
      tick(this.#parts.facts);
    });
  }

  /** show opens a task; back is the address of the view it was opened from. */
  show(ref, back) {
    this.hide();
    this.#ref = ref;
    this.#id = decoded(ref.split("?")[0].split("/").slice(1).join("/"));
    this.#status = "";
    this.#history = [];
    this.#row = null;
    this.#back = back;
    this.#build();
    byId("task").hidden = false;
    scrollTo({ top: 0, behavior: "instant" });
    byId("task-title").focus({ preventScroll: true });
    this.#follow();
  }

  hide() {
    byId("task").hidden = true;
    this.#run?.abort();
    this.#run = null;
    this.#timeline = null;
    setStream("task", null);
  }

  #build() {
    this.#timeline = new Timeline();
    const action = (label, onclick, className = "button") => h("button", { type: "button", class: className, onclick }, label);
    const slot = (className) => h("div", { class: className });
    this.#parts = {
      badge: h("span"), title: h("bdi", null, this.#id), where: h("bdi", { class: "muted" }),
      problem: slot(""), facts: slot(""), trouble: slot("troubles"), progress: slot(""), output: slot(""), bodies: slot("bodies"),
    };
    const p = this.#parts;
    p.cancel = action("Cancel", () => this.#cancel());
    p.change = action("Change credential", () => this.#askAgain());
    p.change.hidden = headerNameFor(upstreamOf(this.#ref)) === "";
    p.cancel.hidden = true;
    p.columns = h("div", { class: "task-columns", hidden: true },
      h("section", { class: "panel", "aria-labelledby": "facts-title" }, h("div", { class: "panel-head" }, h("h2", { id: "facts-title" }, "Task")), p.facts),
      this.#timeline.element);
    byId("task").replaceChildren(
      h("a", { class: "back", href: this.#back }, "← Fleet"),
      h("header", { class: "task-head" },
        h("div", { class: "task-name" }, p.badge, h("h1", { id: "task-title", tabindex: "-1" }, p.title), copyButton("Copy the id", () => this.#id, "the id")),
        p.where,
        h("div", { class: "row" }, action("Ask again", () => this.refresh()), action("Copy as curl", () => this.#copyCurl()),
          p.cancel, p.change, action("Forget", () => this.#forget(), "button danger"))),
      p.problem, p.trouble, p.progress,
      p.columns,
      p.output, p.bodies);
  }

  #follow() {
    this.#run?.abort();
    this.#run = new AbortController();
    const { signal } = this.#run;
    this.#parts.problem.replaceChildren();
    follow({
      open: async (lastEventID, s) => {
        const response = await openStream(taskURL(this.#ref, WITH), { lastEventID, headers: this.#headers(), signal: s });
        if (response.status === 200) this.#parts.problem.replaceChildren();
        return response;
      },
      signal,
      visible: page,
      beat,
      event: (e) => this.#event(e),
      state: (word, milliseconds, err) => {
        if (signal.aborted) return;
        setStream("task", word, milliseconds);
        if (err) this.#parts.problem.replaceChildren(callout("warn", err));
      },
      problem: (err) => this.#refused(err),
    });
  }

  #headers() {
    return headersFor(upstreamOf(this.#ref));
  }

  #event(e) {
    if (e.event === "problem") {
      const body = JSON.parse(e.data);
      return this.#refused(new Problem(body.status, body, body.retry_after ?? NaN));
    }
    if (e.event === "message") this.#draw(e.data);
  }

  #draw(raw) {
    const doc = JSON.parse(raw);
    if (this.#row) [this.#row, this.#history] = [null, []];
    this.#id = doc.id;
    const p = this.#parts;
    p.columns.hidden = false;
    if (doc.status !== this.#status) {
      if (this.#status) say(`The task is ${wordOf(doc.status)}`);
      p.badge.replaceChildren(badge(doc.status));
    }
    p.title.textContent = doc.id;
    p.where.textContent = [doc.upstream, doc.provider === doc.upstream ? null : doc.provider, doc.native_status].filter(Boolean).join(" · ");
    p.facts.replaceChildren(facts(doc));
    p.trouble.replaceChildren(...trouble(doc));
    p.progress.replaceChildren(...[progress(doc)].filter(Boolean));
    p.output.replaceChildren(...[output(doc)].filter(Boolean));
    this.#drawHistory(doc);
    this.#drawBodies(raw);
    this.#status = doc.status;
    p.cancel.hidden = doc.terminal || !cancellable(this.#ref);
    p.change.hidden = headerNameFor(doc.upstream) === "";
    setSubject(`${wordOf(doc.status)}: ${doc.id}`);
  }

  // Where an answer has no history, this page keeps one of what it sees.
  #drawHistory(doc) {
    if (Array.isArray(doc.history)) this.#history = doc.history;
    else if (doc.status !== this.#status) {
      this.#history = [...this.#history, { status: doc.status, native_status: doc.native_status, at: doc.updated_at }];
    }
    this.#timeline.draw(this.#history, doc.created_at);
  }

  #drawBodies(raw) {
    const native = members(raw).find(([name]) => name === "native")?.[1];
    this.#parts.bodies.replaceChildren(
      body("Document", "document-title", without(raw, ["native", "history"])),
      native && native !== "null" ? body("Native body", "native-title", native)
        : h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", null, "Native body")), h("p", { class: "empty" }, "The upstream has not answered with a body yet.")));
  }

  /** refresh asks the upstream again, as far as the provider's minimum allows. */
  async refresh() {
    const signal = this.#run?.signal;
    try {
      // "reload" goes past the browser's own cache, with Cache-Control: no-cache.
      const response = await request(taskURL(this.#ref, WITH), { cache: "reload", headers: this.#headers(), signal });
      const raw = await response.text();
      if (signal?.aborted) return;
      this.#draw(raw);
      this.#timeline.read(told(response));
      toast("Asked again");
    } catch (err) {
      if (!signal?.aborted) this.#refused(err);
    }
  }

  /** copyID puts the id into the clipboard. */
  copyID() {
    copy(this.#id, "the id");
  }

  #copyCurl() {
    const header = headerNameFor(upstreamOf(this.#ref));
    try {
      copy(curl(taskURL(this.#ref).href, [header, this.#on.keyed() ? "X-Pollux-Key" : ""].filter(Boolean)), "a curl command");
    } catch (err) {
      toast(err.message);
    }
  }

  async #forget() {
    const yes = await confirmed("Forget this task?", "Pollux drops what it has stored of it. The task itself goes on at the upstream.", "Forget it");
    if (!yes) return;
    this.#run?.abort(); // a stream that came back after it would have the task asked for again
    try {
      await request(taskURL(this.#ref), { method: "DELETE", headers: this.#headers() });
      toast("Forgotten");
      this.#on.gone(this.#ref);
    } catch (err) {
      this.#follow();
      this.#refused(err);
    }
  }

  async #refused(err) {
    if (err.status === 401 && (await this.#on.login())) return;
    const upstream = upstreamOf(this.#ref);
    const { signal } = this.#run;
    // To a credential that does not own the task it is not there.
    const needsCredential = err.status === 401 || err.status === 403 || (headerNameFor(upstream) !== "" && (err.status === 404 || err.status === 410));
    this.#parts.change.hidden = true;
    const again = h("button", { type: "button", class: "button", onclick: () => this.#follow() }, "Try again");
    const box = callout(needsCredential ? "warn" : "bad", err);
    if (needsCredential) {
      box.append(askCredential(upstream, await placeOf(upstream, err.challenge), () => this.#follow()));
      this.#followKnown(signal);
    } else box.append(again);
    if (!signal.aborted) this.#parts.problem.replaceChildren(box);
  }

  // What the list knows of a task, as it changes, while its document is not to
  // be seen.
  #followKnown(signal) {
    if (this.#knownTo === signal) return;
    this.#knownTo = signal;
    follow({
      open: (_, s) => openStream(rowURL(this.#ref), { signal: s }),
      signal,
      visible: page,
      beat,
      event: (e) => e.event === "row" && !signal.aborted && this.#drawRow(JSON.parse(e.data)),
      state: (word, milliseconds) => {
        if (!signal.aborted) setStream("task", word, milliseconds);
      },
      problem() {}, // the form above says what is missing
    });
  }

  // Of several credentials that know the reference, the first is kept to.
  #drawRow(row) {
    const before = this.#row;
    if (row.ref !== this.#ref || this.#status || (before && keyOf(before) !== keyOf(row))) return;
    this.#row = row;
    if (!before) this.#history = historyOf(row);
    else if (before.status !== row.status) {
      this.#history = [...this.#history, { status: row.status, native_status: row.native_status, at: row.updated_at }];
      say(`The task is ${wordOf(row.status)}`);
    }
    const p = this.#parts;
    p.badge.replaceChildren(badge(row.status), ...(row.stuck ? [h("span", { class: "pill warn" }, "stuck")] : []));
    p.where.textContent = [row.upstream, row.native_status].filter(Boolean).join(" · ");
    p.facts.replaceChildren(factsOfRow(row));
    p.trouble.replaceChildren(...(row.error ? trouble({ error: { ...row.error, type: null }, required_action: null }) : []));
    p.columns.hidden = false;
    this.#timeline.draw(this.#history, row.created_at);
    setSubject(`${wordOf(row.status)}: ${row.id}`);
  }

  async #askAgain() {
    const upstream = upstreamOf(this.#ref);
    const form = askCredential(upstream, await placeOf(upstream, ""), () => this.#follow());
    this.#parts.problem.replaceChildren(h("div", { class: "callout" }, h("strong", null, "Another credential"), form));
    form.querySelector("[name=value]").focus();
  }

  async #cancel() {
    const refused = await cancelTasks([this.#ref]);
    if (refused?.length) this.#refused(refused[0].err);
  }
}

function callout(kind, err) {
  return h("div", { class: `callout ${kind}`, role: "alert" },
    h("strong", null, err.title || "Not now"), h("p", { class: "text" }, err.message));
}

function body(title, id, text) {
  return h("section", { class: "panel", "aria-labelledby": id },
    h("div", { class: "panel-head" }, h("h2", { id }, title), copyButton(`Copy: ${title}`, () => text, title.toLowerCase())), show(text));
}

// What the headers say about how an answer came to be.
function told(response) {
  const age = response.headers.get("Age");
  return [response.headers.get("Cache-Status"), age === null ? null : `age ${age} s`].filter(Boolean).join(" · ") || "asked again";
}
