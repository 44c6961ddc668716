import assert from "node:assert/strict";
import { test } from "node:test";
import { comparing, matching, MANY, rank, Rows } from "../../static/rows.mjs";
import { everything } from "../../static/route.mjs";

const at = (second) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
const row = (n, more = {}) => ({ ref: `u/${n}`, upstream: "u", status: "queued", terminal: false, stuck: false, created_at: at(n), completed_at: null, first_seen: at(n), updated_at: at(n), ...more });
const refs = (rows) => rows.shown.map((r) => r.ref.slice(2)).join(" ");

function table(state, first, complete = true) {
  const rows = new Rows();
  rows.replace(first, { compare: comparing(state.sort, state.trouble), matches: matching(state), complete });
  return rows;
}

test("a shown row changes in its place, a new one waits", () => {
  const rows = table(everything, [row(3), row(2), row(1)]);
  assert.equal(rows.take(row(2, { status: "failed", updated_at: at(9) })), "changed");
  assert.equal(rows.take(row(5)), "waiting");
  assert.equal(rows.take(row(4)), "waiting");
  assert.equal(rows.take(row(5)), "waiting");
  assert.equal(refs(rows), "3 2 1");
  assert.equal(rows.waiting, 2);
  rows.merge();
  assert.equal(refs(rows), "5 4 3 2 1");
  assert.equal(rows.waiting, 0);
});

test("a change that comes late is no change", () => {
  const rows = table(everything, [row(1, { status: "completed", updated_at: at(9) })]);
  assert.equal(rows.take(row(1, { updated_at: at(5) })), "ignored");
  assert.equal(rows.shown[0].status, "completed");
});

test("what leaves the filter stays until the rows are put in order", () => {
  const rows = table({ ...everything, status: ["queued"] }, [row(2), row(1)]);
  const done = row(2, { status: "completed", terminal: true, updated_at: at(9) });
  assert.equal(rows.take(done), "changed");
  assert.equal(rows.left(done), true);
  assert.equal(refs(rows), "2 1");
  rows.merge();
  assert.equal(refs(rows), "1");
  assert.equal(rows.take(done), "ignored");
});

test("a waiting row that leaves the filter waits no more", () => {
  const rows = table({ ...everything, terminal: "false" }, []);
  rows.take(row(1));
  assert.equal(rows.take(row(1, { terminal: true, status: "failed", updated_at: at(4) })), "ignored");
  assert.equal(rows.waiting, 0);
});

test("what sorts behind the page is left to the next page", () => {
  const first = [row(9), row(8)];
  assert.equal(table(everything, first, false).take(row(1)), "ignored");
  assert.equal(table(everything, first, true).take(row(1)), "waiting");
});

test("the next page repeats nothing", () => {
  const rows = table(everything, [row(9), row(8)], false);
  rows.append([row(8, { status: "failed" }), row(7)], true);
  assert.equal(refs(rows), "9 8 7");
  assert.equal(rows.shown[1].status, "failed");
});

test("trouble comes first on demand", () => {
  const all = [row(5), row(4, { status: "failed" }), row(3, { status: "requires_action" }), row(2, { stuck: true }), row(1, { status: "timed_out" })];
  assert.equal(refs(table({ ...everything, trouble: true }, all)), "4 2 1 3 5");
  assert.equal(refs(table(everything, all)), "5 4 3 2 1");
  assert.equal(rank(row(1, { status: "completed", stuck: false })), 2);
});

test("a missing time counts as the first sight", () => {
  const all = [row(1), row(2, { created_at: null, first_seen: at(7) }), row(5)];
  assert.equal(refs(table(everything, all)), "2 5 1");
  assert.equal(refs(table({ ...everything, sort: "created_at" }, all)), "1 5 2");
});

test("only so many rows wait", () => {
  const rows = table(everything, []);
  for (let n = 0; n < MANY + 10; n++) rows.take(row(n));
  assert.equal(rows.waiting, MANY);
  assert.equal(rows.overflowed, true);
});

test("a forgotten task is gone at once", () => {
  const rows = table(everything, [row(2), row(1)]);
  rows.drop("u/2");
  rows.drop("u/7");
  assert.equal(refs(rows), "1");
});

test("one reference under two credentials is two rows", () => {
  const rows = table(everything, [row(2, { key: "a" }), row(2, { key: "b", status: "failed" }), row(1, { key: "c" })]);
  assert.equal(refs(rows), "2 2 1");
  assert.deepEqual([...rows.severals], ["u/2"]);
  rows.take(row(2, { key: "b", status: "completed", updated_at: at(9) }));
  assert.deepEqual(rows.shown.map((r) => r.status), ["queued", "completed", "queued"]);
  rows.drop("u/2");
  assert.equal(refs(rows), "2 2 1");
});
