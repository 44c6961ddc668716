import assert from "node:assert/strict";
import { test } from "node:test";
import { headline, stateOf, summary } from "../../static/upstreamstate.mjs";

const present = Date.UTC(2026, 0, 1);
const ago = (seconds) => ({ at: new Date(present - seconds * 1000).toISOString() });
const upstream = (more) => ({
  breaker: "closed", retry_in_seconds: null, paused_for_seconds: null, error_ratio: 0, last_error: null, latency: { p50_seconds: 0.1 }, polls: { upstream: 5 }, ...more,
});

for (const [name, u, want] of [
  ["answers", {}, "answering"],
  ["its breaker is open", { breaker: "open", retry_in_seconds: 8 }, "cut off 6 s"],
  ["the countdown is over", { breaker: "open", retry_in_seconds: 1 }, "cut off"],
  ["its breaker is half open", { breaker: "half-open" }, "probing"],
  ["asked for a pause", { paused_for_seconds: 12 }, "paused 10 s"],
  ["the pause is over", { paused_for_seconds: 1 }, "answering"],
  ["fails, just now", { error_ratio: 0.1, last_error: ago(59) }, "failing"],
  ["failed a while ago", { error_ratio: 0.1, last_error: ago(61) }, "answering"],
  ["fails now and then", { error_ratio: 0.09, last_error: ago(1) }, "answering"],
  ["is slow", { latency: { p50_seconds: 2 } }, "slow"],
  ["was never asked", { polls: { upstream: 0 }, latency: { p50_seconds: null } }, "not asked yet"],
]) {
  test(`an upstream that ${name}`, () => assert.equal(stateOf(upstream(u), 2, present).text, want));
}

const all = (...words) => words.map(([name, u]) => ({ name, state: stateOf(upstream(u), 0, present) }));

test("the worst is named first, in the line and in the title", () => {
  const some = all(["a", {}], ["b", { latency: { p50_seconds: 3 } }], ["c", { breaker: "open", retry_in_seconds: 3 }], ["d", { paused_for_seconds: 2 }]);
  assert.equal(summary(some), "c cut off 3 s · d paused 2 s · 1 more in trouble");
  assert.equal(headline(some), "3 upstreams in trouble");
  assert.equal(headline(all(["a", {}], ["c", { breaker: "open", retry_in_seconds: 3 }])), "c cut off");
  assert.equal(summary(all(["a", {}], ["b", {}])), "all 2 upstreams answering");
  assert.equal(headline(all(["a", {}])), "");
});
