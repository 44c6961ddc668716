// The sign in the bar: whether what is shown is live, and how old it is.

import { onTick } from "./clock.mjs";
import { byId, setText } from "./dom.mjs";
import { whole } from "./format.mjs";

const streams = new Map(); // name → {state, until}
let heard = NaN; // performance.now() of the last piece of any stream

/** beat notes that Pollux was heard. */
export function beat() {
  heard = performance.now();
}

/** setStream tells the state of a named stream, see follow; null forgets it. */
export function setStream(name, state, milliseconds = 0) {
  if (state === null) streams.delete(name);
  else streams.set(name, { state, until: performance.now() + milliseconds });
  draw();
}

// The worst stream speaks for all.
const WORDS = [
  ["waiting", "reconnecting"],
  ["connecting", "connecting"],
  ["refused", "not live"],
  ["live", "live"],
  ["ended", "final"],
];

function draw() {
  const all = [...streams.values()];
  const [state, word] = WORDS.find(([s]) => all.some((x) => x.state === s)) ?? ["connecting", "connecting"];
  // Whoever was cut off is reconnecting until the stream is back, whatever the attempt does.
  const again = state === "connecting" && Number.isFinite(heard);
  byId("live").dataset.state = again ? "waiting" : state;
  setText(byId("live-word"), again ? "reconnecting" : word);
  drawAge(state);
}

function drawAge(state = byId("live").dataset.state) {
  const age = (performance.now() - heard) / 1000;
  const known = Number.isFinite(age) && state !== "ended";
  setText(byId("live-age"), known ? whole(age) : "");
}

onTick(() => drawAge());
