// The rows of the task table, and the rule that they never move by themselves:
// a row that is shown changes in its place, a new one waits until asked for.
// Pure.

import { instant } from "./format.mjs";
import { isFailure } from "./statuses.mjs";

/** MANY is how many new rows are kept waiting; with more, a reload is cheaper. */
export const MANY = 500;

export class Rows {
  shown = [];
  #byRef = new Map();
  #waiting = new Map();
  #compare = () => 0;
  #matches = () => true;
  #complete = true;
  overflowed = false;

  /** replace starts a view with its first rows. complete says that there are no
   * more at the server, so that a new row belongs to the view wherever it sorts. */
  replace(rows, { compare, matches, complete }) {
    this.#compare = compare;
    this.#matches = matches;
    this.#waiting.clear();
    this.overflowed = false;
    this.#byRef.clear();
    this.shown = [];
    this.append(rows, complete);
    this.shown.sort(compare);
  }

  /** append adds the rows of the next page. */
  append(rows, complete) {
    this.#complete = complete;
    for (const row of rows) {
      this.#waiting.delete(row.ref);
      if (!this.#byRef.has(row.ref)) this.shown.push(row);
      else this.shown[this.shown.findIndex((x) => x.ref === row.ref)] = row;
      this.#byRef.set(row.ref, row);
    }
  }

  /** take learns a change: "changed" if a shown row is another now, "waiting" if
   * it is new, "ignored" otherwise. */
  take(row) {
    const before = this.#byRef.get(row.ref);
    if (before) return this.#change(before, row);
    const last = this.shown.at(-1);
    const beyond = !this.#complete && last !== undefined && this.#compare(row, last) > 0;
    if (!this.#matches(row) || beyond) {
      this.#waiting.delete(row.ref);
      return "ignored";
    }
    if (this.#waiting.size >= MANY && !this.#waiting.has(row.ref)) this.overflowed = true;
    else this.#waiting.set(row.ref, row);
    return "waiting";
  }

  #change(before, row) {
    if (instant(row.updated_at) < instant(before.updated_at)) return "ignored"; // came late
    this.#byRef.set(row.ref, row);
    this.shown[this.shown.indexOf(before)] = row;
    return "changed";
  }

  get waiting() {
    return this.#waiting.size;
  }

  /** merge shows what waited, puts everything in order, and drops what has left
   * the view since. */
  merge() {
    for (const [ref, row] of this.#waiting) {
      this.#byRef.set(ref, row);
      this.shown.push(row);
    }
    this.#waiting.clear();
    for (const row of this.shown) if (!this.#matches(row)) this.#byRef.delete(row.ref);
    this.shown = this.shown.filter(this.#matches).sort(this.#compare);
  }

  /** drop removes a task that was forgotten. */
  drop(ref) {
    this.#waiting.delete(ref);
    if (this.#byRef.delete(ref)) this.shown = this.shown.filter((row) => row.ref !== ref);
  }

  /** left says that a shown row no longer belongs to the view. */
  left(row) {
    return !this.#matches(row);
  }
}

/** comparing orders rows as the server does: a null time counts as the moment
 * when Pollux first saw the task. */
export function comparing(sort, troubleFirst) {
  const member = sort.replace("-", "");
  const sign = sort.startsWith("-") ? -1 : 1;
  const time = (row) => instant(row[member] ?? row.first_seen);
  return (a, b) => (troubleFirst ? rank(a) - rank(b) : 0) || sign * (time(a) - time(b)) || (a.ref < b.ref ? -1 : Number(a.ref > b.ref));
}

/** rank is 0 for what should be looked at first. */
export function rank(row) {
  if (row.stuck || isFailure(row.status)) return 0;
  return row.status === "requires_action" ? 1 : 2;
}

/** matching is the part of a filter that changes while a task lives, so that it
 * is judged here; what is fixed, the server filters in the stream. */
export function matching(state) {
  return (row) =>
    (state.status.length === 0 || state.status.includes(row.status)) &&
    (state.terminal === "" || String(row.terminal) === state.terminal) &&
    (state.upstream === "" || row.upstream === state.upstream);
}
