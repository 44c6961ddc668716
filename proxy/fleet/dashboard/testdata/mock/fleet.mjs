// A simulated fleet: tasks that live and end, upstreams that fail, polls that
// are saved. Its answers have the shapes of Pollux, nothing more.

import { EventEmitter } from "node:events";

const STATUSES = ["queued", "in_progress", "requires_action", "unknown", "completed", "incomplete", "failed", "cancelled", "timed_out"];
const ENDED = new Set(STATUSES.slice(4));

const UPSTREAMS = {
  aitronos: { seconds: 9, model: "gpt-5-mini", id: () => `resp_${hex(16)}`, words: { queued: "processing", in_progress: "processing", completed: "completed", failed: "failed", cancelled: "cancelled" } },
  "gumloop-flow": { seconds: 95, model: null, id: () => `${hex(8)}-${hex(4)}-${hex(12)}`, words: { queued: "STARTED", in_progress: "RUNNING", completed: "DONE", failed: "FAILED", cancelled: "TERMINATED" } },
  orq: { seconds: 28, model: "claude-sonnet-4-5", id: () => `01K8${hex(22).toUpperCase()}`, path: "research%20agent/", words: { queued: "submitted", in_progress: "working", requires_action: "input-required", completed: "completed", incomplete: "completed", failed: "failed" } },
  shannon: { seconds: 240, model: "gpt-5-2025-08-07", id: () => `task-${hex(8)}-${Math.floor(Date.now() / 1000)}`, words: { queued: "TASK_STATUS_QUEUED", in_progress: "TASK_STATUS_RUNNING", requires_action: "TASK_STATUS_PAUSED", completed: "TASK_STATUS_COMPLETED", failed: "TASK_STATUS_FAILED", cancelled: "TASK_STATUS_CANCELLED", timed_out: "TASK_STATUS_TIMEOUT" } },
  vessl: { seconds: 3, model: null, id: () => `req-${hex(20)}`, words: { queued: "pending", in_progress: "in_progress", completed: "completed", failed: "failed" } },
};

const FAILURES = {
  aitronos: [["rate_limit_exceeded", "The model provider is over its capacity, try again later"]],
  "gumloop-flow": [[null, "Node 4 (Google Sheets reader) could not find the sheet Q3 forecast"], ["FLOW_TIMEOUT", "flow exceeded its time budget"]],
  orq: [["tool_error", "Tool lookup_invoice returned status 500"]],
  shannon: [["budget_exceeded", "Token budget of 50000 used up before the synthesis step"]],
  vessl: [["OOMKilled", "worker 0 was killed: out of memory (24.0 GiB)"]],
};

let seed = 7;
const random = () => {
  seed = (seed * 1664525 + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const hex = (n) => Array.from({ length: n }, () => "0123456789abcdef"[Math.floor(random() * 16)]).join("");
const iso = (ms) => new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");

export class Fleet extends EventEmitter {
  tasks = [];
  polls = { received: 48_210, upstream: 3_904, hit: 38_905, collapsed: 4_020, stale: 61, not_modified: 1_320 };
  avoided = 212;
  dead = ""; // an upstream that died
  alone = false; // whether the store is away
  #history = { step_seconds: 60, by_status: Object.fromEntries(STATUSES.map((s) => [s, []])), polls_received: [], polls_upstream: [] };
  #ticks = 0;

  /** hostile is put into every string that an upstream may choose; caller says
   * that callers bring the credentials; tasks is how many there are already. */
  constructor({ hostile = "", caller = false, tasks = 180 } = {}) {
    super();
    this.caller = caller;
    this.setMaxListeners(0);
    this.hostile = hostile;
    const now = Date.now();
    for (let i = 0; i < tasks; i++) this.#create(now - (tasks - i) * 9_000);
    this.stray(now - 4 * 3600e3);
    this.#twin(now - 5_000);
    for (const task of this.tasks) this.#age(task, now);
    for (let i = 0; i < 60; i++) this.#record(this.#wave(i));
  }

  #wave = (i) => ({ in: 60 + 30 * Math.sin(i / 7) + random() * 18, out: 5 + 2 * Math.sin(i / 7) + random() * 4 });

  stray(at) {
    const task = this.#create(at, "shannon");
    Object.assign(task, { stuck: true, ends: Infinity });
  }

  // The same reference under another credential.
  #twin(at) {
    const { id, ref } = this.#create(at, "orq");
    Object.assign(this.#create(at, "orq"), { id, ref });
  }

  #create(at, upstream = pick(Object.keys(UPSTREAMS))) {
    const u = UPSTREAMS[upstream];
    const id = u.id();
    const task = {
      key: hex(12), id, upstream, provider: upstream, ref: `${upstream}/${u.path ?? ""}${id}`, model: u.model && this.hostile ? this.hostile : u.model,
      created: at, starts: at + u.seconds * 150 * (0.5 + random()), ends: at + u.seconds * 1000 * (0.4 + 1.2 * random()), end: this.#fate(upstream), history: [], status: "",
    };
    this.#become(task, "queued", at);
    this.tasks.push(task);
    return task;
  }

  #fate(upstream) {
    const r = random();
    const words = UPSTREAMS[upstream].words;
    if (r < 0.08 && words.failed) return "failed";
    if (r < 0.11 && words.cancelled) return "cancelled";
    if (r < 0.13 && words.timed_out) return "timed_out";
    if (r < 0.18 && words.incomplete) return "incomplete";
    return "completed";
  }

  #become(task, status, at) {
    if (task.status === status) return;
    task.status = status;
    task.updated = at;
    task.native = (UPSTREAMS[task.upstream].words[status] ?? "WARMING") + this.hostile;
    task.history.push({ status, native_status: task.native, at: iso(at), poll: task.history.length * 3 + 1 });
    if (status === "failed") [task.code, task.message] = pick(FAILURES[task.upstream]).map((x) => x && x + this.hostile);
    if (ENDED.has(status)) task.completed = at;
    this.emit("row", this.row(task));
  }

  #age(task, now) {
    if (ENDED.has(task.status)) return;
    if (now >= task.starts && task.status === "queued") this.#become(task, random() < 0.05 && UPSTREAMS[task.upstream].words.requires_action ? "requires_action" : "in_progress", task.starts);
    if (now >= task.ends && task.status !== "requires_action") this.#become(task, task.end, task.ends);
  }

  /** tick moves everything on by one second. */
  tick() {
    const now = Date.now();
    this.#ticks++;
    if (random() < 0.45) this.#create(now);
    for (const task of this.tasks) this.#age(task, now);
    const wave = this.#wave(this.#ticks / 10);
    const received = Math.round(wave.in);
    const upstream = Math.round(wave.out);
    this.polls.received += received;
    this.polls.upstream += upstream;
    this.polls.hit += Math.round((received - upstream) * 0.86);
    this.polls.collapsed += Math.round((received - upstream) * 0.1);
    this.polls.not_modified += received - upstream - Math.round((received - upstream) * 0.86) - Math.round((received - upstream) * 0.1);
    if (this.#ticks % 60 === 0) this.#record(wave);
    this.emit("fleet", this.fleet());
  }

  #record(wave) {
    const by = this.#byStatus(this.tasks);
    const past = this.#history.polls_received.length;
    for (const s of STATUSES) {
      const drift = s === "completed" ? 0.6 + past / 150 : 0.8 + 0.3 * Math.sin(past / 5 + s.length);
      push(this.#history.by_status[s], this.#ticks ? by[s] : Math.round(by[s] * drift));
    }
    push(this.#history.polls_received, Math.round(wave.in * 10));
    push(this.#history.polls_upstream, Math.round(wave.out * 10));
  }

  #byStatus(tasks) {
    const by = Object.fromEntries(STATUSES.map((s) => [s, 0]));
    for (const t of tasks) by[t.status]++;
    return by;
  }

  row(t) {
    return {
      id: t.id, upstream: t.upstream, provider: t.provider, status: t.status, native_status: t.native, terminal: ENDED.has(t.status),
      created_at: t.upstream === "vessl" ? null : iso(t.created), completed_at: t.completed && t.upstream !== "vessl" ? iso(t.completed) : null,
      updated_at: iso(t.updated), first_seen: iso(t.created + 300), age: Math.floor(Math.min(4, (Date.now() - t.updated) / 1000)),
      error: t.code !== undefined ? { code: t.code, message: t.message } : null, model: t.model, stuck: t.stuck ?? false, ref: t.ref, key: t.key,
    };
  }

  rows({ upstream, status, terminal, q, since, until, sort }) {
    const wanted = status ? status.split(",") : STATUSES;
    const member = (sort ?? "-created_at").replace("-", "");
    const sign = (sort ?? "-").startsWith("-") ? -1 : 1;
    return this.tasks
      .filter((t) => (!upstream || t.upstream === upstream) && wanted.includes(t.status) && (!q || t.id.startsWith(q) || t.model === q || t.code === q) &&
        (!terminal || String(ENDED.has(t.status)) === terminal) && (!since || t.created >= Date.parse(since)) && (!until || t.created < Date.parse(until)))
      .map((t) => this.row(t))
      .sort((a, b) => sign * (Date.parse(a[member] ?? a.first_seen) - Date.parse(b[member] ?? b.first_seen)));
  }

  fleet() {
    const running = this.tasks.filter((t) => !ENDED.has(t.status));
    const oldest = running.sort((a, b) => a.created - b.created)[0];
    const p = this.polls;
    return {
      object: "fleet", at: iso(Date.now()),
      tasks: { total: this.tasks.length, stuck: running.filter((t) => t.stuck).length, by_status: this.#byStatus(this.tasks),
        by_upstream: Object.fromEntries(Object.keys(UPSTREAMS).map((name) => [name, this.#byStatus(this.tasks.filter((t) => t.upstream === name))])) },
      polls: { received: p.received, upstream: p.upstream, saved: { total: p.received - p.upstream, hit: p.hit, collapsed: p.collapsed, stale: p.stale, not_modified: p.not_modified }, rate_limits_avoided: this.avoided },
      durations: Object.fromEntries(Object.entries(UPSTREAMS).map(([name, u]) => [name, { p50_seconds: u.seconds * 0.98, p95_seconds: u.seconds * 1.53, samples: this.tasks.filter((t) => t.upstream === name && t.completed).length }])),
      oldest: oldest ? this.row(oldest) : null, history: this.#history, failures: this.#failures(),
      replicas: [{ id: "7f3a9c", version: "v1.4.0", started_at: iso(Date.now() - 86_400_000), slots: 683, self: true, notice_lag_seconds: 0.002 },
        { id: "c20b11", version: "v1.4.0", started_at: iso(Date.now() - 400_000), slots: 341, self: false, notice_lag_seconds: 1.4 }],
      notices_current: true, polls_leased: 1204, store_answers: !this.alone,
    };
  }

  #failures() {
    const groups = new Map();
    for (const t of this.tasks.filter((x) => x.status === "failed").sort((a, b) => b.completed - a.completed)) {
      const key = JSON.stringify([t.upstream, t.code]);
      const group = groups.get(key) ?? { upstream: t.upstream, code: t.code, message: t.message, count: 0, latest: iso(t.completed), ref: t.ref };
      group.count++;
      groups.set(key, group);
    }
    return [...groups.values()].slice(0, 20);
  }

  upstreams() {
    const left = (period, length) => Math.max(0, length - ((Date.now() / 1000) % period));
    return Object.entries(UPSTREAMS).map(([name, u], i) => {
      const open = name === this.dead || (name === "vessl" && left(60, 25) > 0);
      return {
        name, provider: name, breaker: open ? "open" : "closed", retry_in_seconds: open ? Math.max(3, left(60, 25)) : null,
        budget: i % 2 ? { limit: 100, per_seconds: 60, left: Math.round(18 + 50 * left(60, 60) / 60) } : null,
        paused_for_seconds: name === "gumloop-flow" && left(45, 20) > 0 ? left(45, 20) : null,
        latency: { p50_seconds: 0.04 + i * 0.03, p99_seconds: 0.31 + i * 0.17 }, error_ratio: open ? 0.41 : i * 0.004,
        last_error: open || i === 1 ? { at: iso(Date.now() - 8_000 * (i + 1)), type: "upstream-error", status: 502, detail: `the upstream answered 502${this.hostile}` } : null,
        polls: { received: 4_000 + this.#ticks * (20 - i), upstream: 310 + this.#ticks * 2 }, in_flight: (this.#ticks + i) % 3, credential: this.caller ? { header: "Authorization", scheme: "Bearer" } : null,
        cancel: name === "vessl" ? null : "POST /v1/tasks/{id}/cancel",
      };
    });
  }

  #ended = new Set();

  webhooks() {
    const at = Date.now();
    const counts = { watching: 0, suspended: 0, done: 0, pending: 0, delivered: 0, gave_up: 0 };
    return [
      { id: "wh_new", url: `https://hooks.example/ci${this.hostile}`, on: ["terminal"], state: "active", created_at: iso(at - 4_000), counts: { ...counts, watching: 2 } },
      { id: "wh_busy", url: "https://billing.example/pollux/tasks/ended/and/a/path/that/does/not/end/for/a/long/time", on: ["terminal", "requires_action"], state: "active", created_at: iso(at - 3.6e6), counts: { ...counts, watching: 1, done: 3, pending: 1, delivered: 2, gave_up: 1 } },
      { id: "wh_gone", url: "https://old.example/", on: ["terminal"], state: "gone", created_at: iso(at - 9e7), counts: { ...counts, done: 1, gave_up: 1 } },
      ...Array.from({ length: 57 }, (_, i) => ({ id: `wh_${i}`, url: "https://hooks.example/", on: ["terminal"], state: "active", created_at: iso(at - 1e8 - i * 6e5), counts: { ...counts, done: 1, delivered: 1 } })),
    ].filter((hook) => !this.#ended.has(hook.id));
  }

  webhook(id) {
    const hook = this.webhooks().find((x) => x.id === id);
    if (!hook) return null;
    const { counts, ...rest } = hook;
    const at = (ago) => iso(Date.now() - Date.now() % 60_000 - ago);
    const tried = (ago, code, error = null) => ({ at: at(ago), status_code: code, error, duration_ms: 38 });
    const sent = [
      { id: `msg_1${this.hostile}`, type: "task.completed", state: "delivered", attempts: [tried(60_000, 500), tried(54_000, 204)], next_attempt_at: null },
      { id: "msg_2", type: "task.failed", state: "pending", attempts: [tried(40_000, null, `connection refused${this.hostile}`)], next_attempt_at: iso(Date.now() + 25_000) },
      { id: "msg_3", type: "task.completed", state: "gave_up", attempts: [tried(9e6, 503)], next_attempt_at: null },
    ];
    const tasks = this.tasks.slice(0, 4).map((t) => ({ task: t.ref, status: t.status, state: ENDED.has(t.status) ? "done" : "watching", problem: null }));
    tasks.push({ task: "shannon/task-gone", status: null, state: "suspended", problem: "unauthorized" });
    return { ...rest, tasks, deliveries: counts.delivered + counts.pending + counts.gave_up ? sent : [] };
  }

  endWebhook(id) {
    this.#ended.add(id);
  }

  fail(ref) {
    this.#become(this.task(ref), "failed", Date.now());
  }

  task(ref) {
    return this.tasks.find((t) => t.ref === ref);
  }

  forget(ref) {
    this.tasks = this.tasks.filter((t) => t.ref !== ref);
  }

  /** document is the JSON text of a task, long numbers and all. */
  document(t, include) {
    const done = ENDED.has(t.status);
    const hostile = this.hostile;
    const doc = {
      object: "task", id: t.id, upstream: t.upstream, provider: t.provider, status: t.status, terminal: done, native_status: t.native,
      status_reason: t.status === "incomplete" ? "max_iterations" : null, cancel_requested: false, created_at: iso(t.created),
      started_at: t.history.length > 1 ? t.history[1].at : null, completed_at: t.completed ? iso(t.completed) : null, updated_at: iso(t.updated),
      progress: done ? { percent: null, stage: null, steps_completed: null, total_steps: null } : { percent: 45, stage: `tool_execution${hostile}`, steps_completed: 3, total_steps: 7 },
      output: { text: t.status === "completed" ? `Revenue grew in all three regions.\n\n- North: +12.4 %\n- South: +3.1 %\n- West: +8.0 %${hostile}` : null, data: null, messages: null },
      required_action: t.status === "requires_action" ? { type: "tool_calls", tool_calls: [{ id: "call_1", name: `approve_refund${hostile}`, arguments: '{"invoice":"A-1042","amount":249.90}' }] } : null,
      error: t.status === "failed" ? { code: t.code, type: "task_failed", message: t.message } : null,
      usage: done ? { input_tokens: 1840, output_tokens: 512, total_tokens: 2352, cost_usd: 0.0143 } : { input_tokens: null, output_tokens: null, total_tokens: null, cost_usd: null },
      model: t.model, metadata: { session_id: `user-123${hostile}`, mode: "simple" },
    };
    const text = JSON.stringify(doc);
    const native = `{"task_id":${JSON.stringify(t.id)},"status":${JSON.stringify(t.native)},"sequence":90071992547409931234,"cost":2.50,"nested":{"b":[1,2.0,{"a":null}],"a":{},"e":[]},"note":${JSON.stringify(`ü "quoted" \\ ${hostile}`)}}`;
    const parts = [];
    if (include.includes("native")) parts.push(`"native":${native}`);
    if (include.includes("history")) parts.push(`"history":${JSON.stringify(t.history)}`);
    return parts.length ? `${text.slice(0, -1)},${parts.join(",")}}` : text;
  }
}

function push(list, value) {
  list.push(value);
  if (list.length > 60) list.shift();
}
