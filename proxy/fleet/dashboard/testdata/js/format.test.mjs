import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, duration, instant, percent, short, whole } from "../../static/format.mjs";

test("durations have two units at most", () => {
  const cases = [[0, "0 s"], [0.0001, "1 ms"], [0.25, "250 ms"], [1, "1 s"], [2.44, "2.4 s"], [9.96, "10 s"], [59.4, "59 s"], [59.7, "1 m"],
    [60, "1 m"], [192, "3 m 12 s"], [3599.6, "1 h"], [3600, "1 h"], [14_530, "4 h 2 m"], [86_400, "1 d"], [266_400, "3 d 2 h"], [-5, "0 s"], [NaN, "–"], [Infinity, "–"]];
  for (const [seconds, want] of cases) assert.equal(duration(seconds), want, `duration(${seconds})`);
  assert.equal(whole(2.9), "2 s");
});

test("ages have one unit", () => {
  const cases = [[0, "now"], [900, "now"], [-5000, "now"], [1000, "1 s ago"], [59_999, "59 s ago"], [60_000, "1 m ago"], [7_300_000, "2 h ago"], [2e8, "2 d ago"]];
  for (const [past, want] of cases) assert.equal(ago(1e12 - past, 1e12), want, `ago(${past} ms)`);
  assert.equal(ago(instant(null), 1e12), "–");
});

test("a ratio is never rounded to all or nothing", () => {
  const cases = [[0, "0 %"], [1, "100 %"], [0.0002, "< 0.1 %"], [0.99995, "> 99.9 %"], [0.9188, "91.9 %"], [0.012, "1.2 %"], [0 / 0, "–"]];
  for (const [ratio, want] of cases) assert.equal(percent(ratio), want, `percent(${ratio})`);
});

test("large counts are shortened", () => {
  assert.equal(short(12_345), "12,345");
  assert.equal(short(123_456), "123.5K");
  assert.equal(short(undefined), "–");
});
