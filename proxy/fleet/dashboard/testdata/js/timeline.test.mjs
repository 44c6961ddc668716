import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.setInterval = () => 0; // the clock's tick, of which a test has no need
const { historyOf, steps } = await import("../../static/timeline.mjs");
const { lasted } = await import("../../static/row.mjs");
const { scale } = await import("../../static/durations.mjs");
const { line } = await import("../../static/charts.mjs");

const t0 = Date.UTC(2026, 0, 1);
const at = (second) => new Date(t0 + second * 1000).toISOString();

test("each state lasts until the next, the last until it ends or now", () => {
  const history = [{ status: "in_progress", at: at(5) }, { status: "queued", at: at(1) }];
  const spans = (list) => list.map((x) => [x.status, (x.from - t0) / 1000, (x.to - t0) / 1000]);
  assert.deepEqual(spans(steps(history, at(1), t0 + 9000)), [["queued", 1, 5], ["in_progress", 5, 9]]);
  assert.deepEqual(spans(steps([...history, { status: "failed", at: at(7) }], at(1), t0 + 9000)), [["queued", 1, 5], ["in_progress", 5, 7], ["failed", 7, 7]]);
});

test("time before the first poll is a step of its own", () => {
  assert.deepEqual(steps([{ status: "queued", at: at(30) }], at(0), t0 + 31_000).map((x) => x.status), [null, "queued"]);
  assert.deepEqual(steps([{ status: "queued", at: at(30) }], null, t0 + 31_000).map((x) => x.status), ["queued"]);
  assert.deepEqual(steps([], at(0), t0), []);
});

test("how long a task took is exact where the upstream says both ends", () => {
  const row = { terminal: true, created_at: at(0), completed_at: at(8), first_seen: at(1), updated_at: at(9) };
  assert.equal(lasted(row, t0)[0], "8 s");
  assert.equal(lasted({ ...row, completed_at: null }, t0)[0], "≈ 9 s");
  assert.equal(lasted({ ...row, created_at: null, completed_at: null }, t0)[0], "≈ 8 s");
  assert.equal(lasted({ ...row, terminal: false }, t0 + 65_000)[0], "1 m 5 s");
  assert.equal(lasted({ ...row, completed_at: at(-3) }, t0)[0], "–");
});

test("durations share one scale, whatever is missing", () => {
  const x = scale([{ p50_seconds: 1, p95_seconds: 10 }, { p50_seconds: 100, p95_seconds: null }]);
  assert.deepEqual([x(1), x(10), x(100), x(0)].map(Math.round), [2, 50, 98, 2]);
  assert.equal(scale([])(5), 2);
});

test("a chart of nothing lies on the ground", () => {
  assert.equal(line([0, 0], 1, false), "M0 100.0L1 100.0");
  assert.equal(line([0, 5], 5, true), "M0 100.0L1 0.0L1 100L0 100Z");
  assert.equal(line([], 1, true), "");
});

test("only the last state runs, and only until the task ends", () => {
  const runs = (history) => steps(history, at(0), t0 + 29_000).map((x) => x.runs ?? false);
  assert.deepEqual(runs([{ status: "queued", at: at(28) }, { status: "in_progress", at: at(28.9) }]), [false, false, true]);
  assert.deepEqual(runs([{ status: "failed", at: at(28.9) }]), [false, false]);
});

test("a row tells when a task was first seen, and what it is since its last change", () => {
  const row = { status: "failed", native_status: "ERROR", created_at: at(0), first_seen: at(5), updated_at: at(9) };
  const said = (r) => steps(historyOf(r), r.created_at, t0 + 20_000).map((x) => [x.word ?? x.status, (x.to - x.from) / 1000]);
  assert.deepEqual(said(row), [["created, not yet seen by Pollux", 5], ["first seen by Pollux", 4], ["failed", 0]]);
  assert.deepEqual(said({ ...row, created_at: null }), [["first seen by Pollux", 4], ["failed", 0]]);
  assert.deepEqual(said({ ...row, created_at: null, status: "queued", updated_at: at(5) }), [["queued", 15]]);
});
