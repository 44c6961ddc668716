// The history that comes with the fleet, as it is drawn. Pure.

import { duration } from "./format.mjs";
import { SPANS, WINDOWS } from "./route.mjs";

/** reach says how far a history goes of its window: slots is how many points the
 * whole window has, text what those that there are cover, in words. */
export function reach({ step_seconds: step, polls_received: polls }, window) {
  const seconds = step * polls.length;
  const wanted = window in SPANS ? SPANS[window] / 1000 : seconds;
  const slots = Math.max(polls.length, Math.round(wanted / step));
  return { slots, text: seconds >= wanted * 0.97 && window in SPANS ? WINDOWS[window] : `the last ${duration(seconds)}, since Pollux started` };
}

/** arrivals turns how many there were at the end of each step into how many came
 * in it: what has ended stays, so only that tells of lately. */
export const arrivals = (levels) => levels.map((n, i) => (i ? Math.max(0, n - levels[i - 1]) : 0));
