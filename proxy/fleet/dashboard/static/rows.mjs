// The rows of the task table, and the rule that they never move by themselves:
// a row that is shown changes in its place, a new one waits until asked for.
// Pure.

import { instant } from "./format.mjs";
import { isFailure } from "./statuses.mjs";

/** MANY is how many new rows are kept waiting; with more, a reload is cheaper. */
export const MANY = 500;

/** keyOf tells rows apart. Under two credentials a reference is two tasks, whose
 * rows differ in their key; a Pollux that says none has one row of each. */
export const keyOf = (row) => row.key ?? row.ref;

export class Rows {
  shown = [];
  #byKey = new Map();
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
    this.#byKey.clear();
    this.shown = [];
    this.append(rows, complete);
    this.shown.sort(compare);
  }

  /** append adds the rows of the next page. */
  append(rows, complete) {
    this.#complete = complete;
    for (const row of rows) {
      this.#waiting.delete(keyOf(row));
      if (!this.#byKey.has(keyOf(row))) this.shown.push(row);
      else this.shown[this.shown.findIndex((x) => keyOf(x) === keyOf(row))] = row;
      this.#byKey.set(keyOf(row), row);
    }
  }

  /** take learns a change: "changed" if a shown row is another now, "waiting" if
   * it is new, "ignored" otherwise. */
  take(row) {
    const before = this.#byKey.get(keyOf(row));
    if (before) return this.#change(before, row);
    const last = this.shown.at(-1);
    const beyond = !this.#complete && last !== undefined && this.#compare(row, last) > 0;
    if (!this.#matches(row) || beyond) {
      this.#waiting.delete(keyOf(row));
      return "ignored";
    }
    if (this.#waiting.size >= MANY && !this.#waiting.has(keyOf(row))) this.overflowed = true;
    else this.#waiting.set(keyOf(row), row);
    return "waiting";
  }

  #change(before, row) {
    if (instant(row.updated_at) < instant(before.updated_at)) return "ignored"; // came late
    this.#byKey.set(keyOf(row), row);
    this.shown[this.shown.indexOf(before)] = row;
    return "changed";
  }

  get waiting() {
    return this.#waiting.size;
  }

  /** merge shows what waited, puts everything in order, and drops what has left
   * the view since. */
  merge() {
    for (const [key, row] of this.#waiting) {
      this.#byKey.set(key, row);
      this.shown.push(row);
    }
    this.#waiting.clear();
    for (const row of this.shown) if (!this.#matches(row)) this.#byKey.delete(keyOf(row));
    this.shown = this.shown.filter(this.#matches).sort(this.#compare);
  }

  /** drop removes a task that was forgotten. Of several rows with one reference
   * it is not known whose was, so they stay until the list is read again. */
  drop(ref) {
    const gone = [...this.shown, ...this.#waiting.values()].filter((row) => row.ref === ref);
    if (gone.length !== 1) return;
    this.#waiting.delete(keyOf(gone[0]));
    this.#byKey.delete(keyOf(gone[0]));
    this.shown = this.shown.filter((row) => row !== gone[0]);
  }

  /** severals are the references that are shown more than once. */
  get severals() {
    const seen = new Set();
    return new Set(this.shown.map((row) => row.ref).filter((ref) => seen.has(ref) || !seen.add(ref)));
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
 * is judged here; what is fixed, the server filters in the stream. A task whose
 * whole id was asked for is shown whatever else is set. */
export function matching(state) {
  return (row) => (state.q !== "" && row.id === state.q) ||
    (state.status.length === 0 || state.status.includes(row.status)) &&
    (state.terminal === "" || String(row.terminal) === state.terminal) &&
    (state.upstream === "" || row.upstream === state.upstream);
}
