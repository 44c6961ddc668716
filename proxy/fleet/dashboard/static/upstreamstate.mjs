// How an upstream does, in the words that `pollux top` uses too. Pure.

import { instant, whole } from "./format.mjs";

// So many of the last polls failed, the latest within so many milliseconds:
// fewer is what clients do not notice.
const FAILING_RATIO = 0.1;
const FAILING_FOR = 60_000;
const SLOW = 2; // seconds; what a person calls slow, of half of the answers

/** STATES by name: what needs somebody most comes first. tone is the class that
 * colours it. */
const STATES = {
  "cut off": { rank: 0, tone: "bad" },
  probing: { rank: 1, tone: "warn" },
  paused: { rank: 2, tone: "warn" },
  failing: { rank: 3, tone: "bad" },
  slow: { rank: 4, tone: "warn" },
  answering: { rank: 5, tone: "good" },
  "not asked yet": { rank: 5, tone: "" },
};

/** stateOf is {word, rank, tone, trouble, text} of an upstream as GET
 * /v1/upstreams says it. passed are the seconds since it said so, at is the
 * present in milliseconds; text has the countdown. */
export function stateOf(u, passed, at) {
  const left = (seconds) => Math.max(0, (seconds ?? 0) - passed);
  const word = wordOf(u, left(u.paused_for_seconds), at);
  const { rank, tone } = STATES[word];
  const until = { "cut off": left(u.retry_in_seconds), paused: left(u.paused_for_seconds) }[word] ?? 0;
  return { word, rank, tone, trouble: rank < STATES.answering.rank, text: until > 0 ? `${word} ${whole(Math.ceil(until))}` : word };
}

function wordOf(u, paused, at) {
  if (u.breaker === "half-open") return "probing";
  if (u.breaker !== "closed") return "cut off";
  if (paused > 0) return "paused";
  if (u.error_ratio >= FAILING_RATIO && at - instant(u.last_error?.at) < FAILING_FOR) return "failing";
  if (u.latency.p50_seconds >= SLOW) return "slow";
  return u.polls.upstream === 0 && !u.last_error ? "not asked yet" : "answering";
}

/** inOrder sorts [{name, state}] by trouble, then by name. */
export const inOrder = (list) => list.toSorted((a, b) => a.state.rank - b.state.rank || (a.name < b.name ? -1 : 1));

/** summary says in one line how all do: the worst by name, the rest as numbers. */
export function summary(list) {
  const troubled = inOrder(list).filter((x) => x.state.trouble);
  const fine = list.length - troubled.length;
  if (troubled.length === 0) return `${fine === 1 ? "1 upstream" : `all ${fine} upstreams`} answering`;
  const named = troubled.slice(0, 2).map((x) => `${x.name} ${x.state.text}`);
  if (troubled.length > 2) named.push(`${troubled.length - 2} more in trouble`);
  return named.join(" · ");
}

/** headline is the trouble for the title of a tab, "" without any. */
export function headline(list) {
  const troubled = inOrder(list).filter((x) => x.state.trouble);
  if (troubled.length === 0) return "";
  return troubled.length === 1 ? `${troubled[0].name} ${troubled[0].state.word}` : `${troubled.length} upstreams in trouble`;
}
