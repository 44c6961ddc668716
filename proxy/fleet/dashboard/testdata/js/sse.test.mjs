import assert from "node:assert/strict";
import { test } from "node:test";
import { follow, Parser, pauseAfter } from "../../static/sse.mjs";

const stream = ":hello\r\n\r\nid: 7\r\nevent: row\r\ndata: a\r\ndata:  b\r\n\r\ndata\r\n\r\nevent: none\n\nid: 8\rdata: {\"x\": 1}\r\rdata: cut";
const events = [
  { event: "row", data: "a\n b", id: "7" },
  { event: "message", data: "", id: "7" },
  { event: "message", data: '{"x": 1}', id: "8" },
];

test("a stream is read alike however it is cut", () => {
  for (let size = 1; size <= stream.length; size++) {
    const parser = new Parser();
    const got = [];
    for (let at = 0; at < stream.length; at += size) got.push(...parser.push(stream.slice(at, at + size)));
    assert.deepEqual(got, events, `in pieces of ${size}`);
    assert.equal(parser.lastEventID, "8");
  }
});

test("two line feeds after a carriage return at the end of a piece end an event", () => {
  const parser = new Parser();
  assert.deepEqual([...parser.push("data: x\r"), ...parser.push("\n"), ...parser.push("\n")], [{ event: "message", data: "x", id: "" }]);
});

test("pauses grow, up to a limit", () => {
  assert.equal(pauseAfter(1, () => 1), 500);
  assert.equal(pauseAfter(3, () => 1), 2000);
  assert.equal(pauseAfter(50, () => 1), 15_000);
  assert.equal(pauseAfter(3, () => 0), 1000);
});

const visible = { shown: () => Promise.resolve(), onHidden: () => () => {} };
const answer = (text, status = 200) => new Response(status === 204 ? null : text, { status });

// followed runs follow against a script of answers, without waiting.
async function followed(t, script) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const log = [];
  const controller = new AbortController();
  const run = follow({
    open: async (lastEventID) => {
      log.push(`open ${lastEventID}`);
      const next = script.shift();
      if (next instanceof Error) throw next;
      return next;
    },
    signal: controller.signal, visible, beat: () => {},
    event: (e) => log.push(`${e.event} ${e.data}`),
    state: (word, _, err) => {
      log.push(err ? `${word} for ${err.message}` : word);
      if (word === "waiting") setImmediate(() => t.mock.timers.tick(61_000));
    },
    problem: (err) => log.push(`problem ${err.status}`),
  });
  await run;
  return log;
}

test("a stream that breaks is taken up where it was, until it is over", async (t) => {
  const unreachable = Object.assign(new Error("no"), { status: 0 });
  const busy = Object.assign(new Error("busy"), { status: 503, retryAfter: 2 });
  const log = await followed(t, [answer("id: 1\ndata: a\n\n"), unreachable, busy, answer("id: 2\ndata: b\n\n"), answer("", 204)]);
  assert.deepEqual(log, [
    "connecting", "open ", "live", "message a", "waiting",
    "connecting", "open 1", "waiting",
    "connecting", "open 1", "waiting for busy", "waiting for busy",
    "connecting", "open 1", "live", "message b", "waiting",
    "connecting", "open 2", "ended",
  ]);
});

test("a refusal is final", async (t) => {
  const log = await followed(t, [Object.assign(new Error("no"), { status: 403 })]);
  assert.deepEqual(log, ["connecting", "open ", "refused", "problem 403"]);
});
