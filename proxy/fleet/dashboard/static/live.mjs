// The sign in the bar: whether what is shown is live, and how old it is.

import { onTick } from "./clock.mjs";
import { byId, setAttr, setText } from "./dom.mjs";
import { clockTime, whole } from "./format.mjs";

const streams = new Map(); // name → {state, until}
const LOST = 3; // seconds of silence after which a connection that broke dims the page

let heard = NaN; // performance.now() of the last piece of any stream
let heardAt = NaN; // the same by the clock
let degraded = ""; // which upstreams are in trouble, in words

/** beat notes that Pollux was heard. */
export function beat() {
  heard = performance.now();
  heardAt = Date.now();
}

/** setStream tells the state of a named stream, see follow; null forgets it. */
export function setStream(name, state, milliseconds = 0) {
  if (state === null) streams.delete(name);
  else streams.set(name, { state, until: performance.now() + milliseconds });
  draw();
}

/** setDegraded says that upstreams are in trouble, "" that none is; tone is the
 * class of the worst. */
export function setDegraded(text, tone) {
  degraded = text;
  setAttr(byId("live"), "data-trouble", text ? tone : null);
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
  setText(byId("live-trouble"), degraded && state === "live" ? degraded : "");
  drawAge(state);
}

function drawAge(state = byId("live").dataset.state) {
  const age = (performance.now() - heard) / 1000;
  const known = Number.isFinite(age) && state !== "ended";
  setText(byId("live-age"), known ? whole(age) : "");
  drawLost(age);
}

// What is shown while Pollux is gone is from before, and looks like it.
function drawLost(age) {
  const lost = byId("live").dataset.state === "waiting" && age >= LOST;
  document.body.classList.toggle("lost", lost);
  byId("lost").hidden = !lost;
  if (lost) setText(byId("lost"), `Pollux has not been heard since ${clockTime(heardAt, Date.now())}, ${whole(age)} ago. What is shown is from then.`);
}

onTick(() => drawAge());
