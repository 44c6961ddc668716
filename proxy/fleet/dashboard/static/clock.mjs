// The time at Pollux, and the tick by which ages and countdowns move.

let offset = 0;
const listeners = new Set();

/** now is the present in milliseconds as the Pollux sees it, so that ages are
 * right on a computer whose clock is wrong. */
export const now = () => Date.now() + offset;

/** sync learns the difference from a time that Pollux just said. Less than two
 * seconds may be the way of the message and changes nothing. */
export function sync(at) {
  const told = Date.parse(at);
  if (!Number.isFinite(told)) return;
  const difference = told - Date.now();
  if (Math.abs(difference - offset) > 2000) offset = Math.abs(difference) > 2000 ? difference : 0;
}

/** onTick calls f once a second while the page is visible. The result ends it. */
export function onTick(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}

setInterval(() => {
  if (!document.hidden) for (const f of listeners) f();
}, 1000);
