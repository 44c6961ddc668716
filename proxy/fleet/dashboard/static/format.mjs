// Numbers and times as people read them. Pure.

const grouped = new Intl.NumberFormat("en-US");
const compactly = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

export const count = (n) => (Number.isFinite(n) ? grouped.format(n) : "–");

/** short is a count that fits anywhere: 12,345 stays, 123,456 becomes 123.5K. */
export const short = (n) => (!Number.isFinite(n) ? "–" : Math.abs(n) < 100_000 ? grouped.format(n) : compactly.format(n));

/** percent of a ratio; what is neither all nor nothing never rounds to it. */
export function percent(ratio) {
  if (!Number.isFinite(ratio)) return "–";
  const p = ratio * 100;
  if (p > 0 && p < 0.1) return "< 0.1 %";
  if (p > 99.9 && p < 100) return "> 99.9 %";
  return `${p.toFixed(p >= 10 || p === 0 ? (p === 100 || p === 0 ? 0 : 1) : 1)} %`;
}

/** duration of so many seconds, with two units at most. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const n = Math.max(0, seconds);
  if (n < 1) return n === 0 ? "0 s" : `${Math.max(1, Math.round(n * 1000))} ms`;
  if (n < 9.95) return `${+n.toFixed(1)} s`;
  if (n < 59.5) return `${Math.round(n)} s`;
  const whole = Math.round(n);
  if (whole < 3600) return pair(whole, 60, "m", "s");
  if (whole < 86_400) return pair(Math.floor(whole / 60), 60, "h", "m");
  return pair(Math.floor(whole / 3600), 24, "d", "h");
}

function pair(n, size, large, small) {
  const rest = n % size;
  return rest ? `${Math.floor(n / size)} ${large} ${rest} ${small}` : `${Math.floor(n / size)} ${large}`;
}

/** whole is a duration without fractions, for what ticks every second. */
export const whole = (seconds) => duration(Math.max(0, Math.floor(seconds)));

/** ago says how long before now an instant was, both in milliseconds. One unit
 * is enough, and does not tick where nobody counts seconds. */
export function ago(then, now) {
  if (!Number.isFinite(then)) return "–";
  const seconds = Math.floor((now - then) / 1000);
  if (seconds < 1) return "now";
  const [size, unit] = [[86_400, "d"], [3600, "h"], [60, "m"], [1, "s"]].find(([n]) => seconds >= n);
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

/** instant reads an RFC 3339 time as milliseconds, NaN if there is none. */
export const instant = (text) => (typeof text === "string" ? Date.parse(text) : NaN);

/** clockTime is the local time of day, with the date unless that is today. */
export function clockTime(ms, now) {
  if (!Number.isFinite(ms)) return "–";
  const d = new Date(ms);
  const time = d.toLocaleTimeString("en-GB");
  return d.toDateString() === new Date(now).toDateString() ? time : `${d.toLocaleDateString("en-CA")} ${time}`;
}
