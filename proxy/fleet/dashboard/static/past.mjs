// The history that comes with the fleet, as it is drawn. Pure.

import { duration } from "./format.mjs";
import { SPANS, WINDOWS } from "./route.mjs";

/** reach says in words how far a history goes: it begins where Pollux did. */
export function reach({ step_seconds: step, polls_received: polls }, window) {
  const seconds = step * polls.length;
  const all = window in SPANS && seconds * 1000 >= SPANS[window] * 0.97;
  return all ? WINDOWS[window] : `the last ${duration(seconds)}, since Pollux started`;
}

/** arrivals turns how many there were at the end of each step into how many came
 * in it: what has ended stays, so only that tells of lately. */
export const arrivals = (levels) => levels.map((n, i) => (i ? Math.max(0, n - levels[i - 1]) : 0));
