import assert from "node:assert/strict";
import { test } from "node:test";
import { arrivals, reach } from "../../static/past.mjs";

const history = (step, n) => ({ step_seconds: step, polls_received: Array(n).fill(1) });

test("reach", () => {
  for (const [name, past, window, want] of [
    ["a whole hour", history(30, 120), "1h", "the last hour"],
    ["a young process", history(15, 8), "1h", "the last 2 m, since Pollux started"],
    ["everything", history(960, 75), "all", "the last 20 h, since Pollux started"],
    ["nothing yet", history(15, 0), "24h", "the last 0 s, since Pollux started"],
  ]) assert.equal(reach(past, window), want, name);
});

test("arrivals", () => {
  assert.deepEqual(arrivals([7, 7, 9, 4, 5]), [0, 0, 2, 0, 1]);
  assert.deepEqual(arrivals([]), []);
});
