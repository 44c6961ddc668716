import { h, s } from "./dom.mjs";

/** The nine statuses of a task document, in the order in which they are shown. */
export const STATUSES = [
  "queued", "in_progress", "requires_action", "unknown",
  "completed", "incomplete", "failed", "cancelled", "timed_out",
];

const ENDED = new Set(["completed", "incomplete", "failed", "cancelled", "timed_out"]);
const TROUBLE = new Set(["failed", "timed_out"]);

export const isTerminal = (status) => ENDED.has(status);
export const isFailure = (status) => TROUBLE.has(status);

/** wordOf is a status as people read it. */
export const wordOf = (status) => String(status).replaceAll("_", " ");

/** known is status itself if it is one of the nine, else unknown: it becomes a
 * class name, and an answer may come from a newer Pollux. */
export const known = (status) => (STATUSES.includes(status) ? status : "unknown");

// Shapes differ as well as colours. Paths are drawn on a grid of 16 by 16.
const SHAPES = {
  queued: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11",
  in_progress: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M8 5v3l2 1.5",
  requires_action: "M8 2.2L14.2 13.2H1.8ZM8 6.4v3M8 11.2v.3",
  unknown: "M5.6 5.8a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.9M8 12.2v.4",
  completed: "M3 8.6l3.3 3.3L13 4.8",
  incomplete: "M2.8 8.6l2.6 2.8M7 9.6L11 5.4M12.4 12.2v.3",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M4.2 4.2l7.6 7.6",
  timed_out: "M4 2.5h8M4 13.5h8M5 2.5c0 3.4 6 4.6 6 11M11 2.5c0 3.4-6 4.6-6 11",
};

/** icon draws the sign of a status. */
export function icon(status) {
  return s("svg", { class: `sign ${known(status)}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("path", { d: SHAPES[known(status)] }));
}

/** badge is the sign and the word. */
export function badge(status) {
  return h("span", { class: `badge ${known(status)}` }, icon(status), wordOf(status));
}
