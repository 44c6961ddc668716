// Talking to Pollux. Every address is relative to this file's, so the page
// works under any prefix.

import { SPANS } from "./route.mjs";

const base = new URL("..", import.meta.url);

/** Problem is an answer other than a success (RFC 9457), or none at all: then
 * status is 0. */
export class Problem extends Error {
  constructor(status, body, retryAfter, challenge = "") {
    super(body.detail || body.title || `Pollux answered ${status}`);
    this.status = status;
    this.title = body.title ?? "";
    this.kind = String(body.type ?? "").split("/").pop();
    this.upstreamStatus = body.upstream_status ?? null;
    this.retryAfter = retryAfter; // seconds, NaN if not said
    this.challenge = challenge; // WWW-Authenticate
  }
}

/** endpoint is an address of Pollux with its query. */
export function endpoint(path, query = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/** request resolves with a successful response and throws a Problem otherwise.
 * It leaves the cache mode alone: "no-store" would add Cache-Control: no-cache,
 * and Pollux would ask the upstream each time. */
export async function request(url, { method = "GET", headers = {}, ...rest } = {}) {
  if (method !== "GET") headers = { ...headers, "X-Pollux-CSRF": "1" };
  let response;
  try {
    response = await fetch(url, { method, headers, redirect: "error", ...rest });
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new Problem(0, { detail: "Pollux cannot be reached" }, NaN);
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

async function problemOf(response) {
  let body = {};
  try {
    const read = await response.json();
    if (read && typeof read === "object") body = read;
  } catch {
    // A proxy between may answer with a page of its own; the code says enough.
  }
  return new Problem(response.status, body, parseInt(response.headers.get("Retry-After") ?? "", 10), response.headers.get("WWW-Authenticate") ?? "");
}

export const getJSON = async (url, options) => (await request(url, options)).json();

/** openStream asks for server-sent events, or 204 when there are no more. Any
 * other answer is as if streams were not implemented: reading it again and again
 * would be polling. */
export async function openStream(url, { lastEventID, headers = {}, signal }) {
  const all = { ...headers, Accept: "text/event-stream" };
  if (lastEventID) all["Last-Event-ID"] = lastEventID;
  const response = await request(url, { headers: all, signal });
  const type = response.headers.get("Content-Type") ?? "";
  if (response.status === 204 || type.startsWith("text/event-stream")) return response;
  throw new Problem(501, { detail: "Something between this page and Pollux does not pass streams on" }, NaN);
}

/** listURL is the task list for a view. at is the present in milliseconds. */
export function listURL(state, at, extra = {}) {
  return endpoint("v1/tasks", {
    status: state.status.join(","),
    upstream: state.upstream,
    terminal: state.terminal,
    q: state.q,
    since: state.since ? new Date(at - SPANS[state.since]).toISOString() : state.from,
    until: state.to,
    sort: state.sort,
    ...extra,
  });
}

/** taskURL is the address of one task. It throws on a reference whose path
 * would lead elsewhere: it may come from a link that somebody else wrote. */
export function taskURL(ref, query = {}) {
  const [path, params = ""] = ref.split(/\?(.*)/s);
  const segments = path.split("/");
  const dots = (segment) => /^(\.|%2e){1,2}$/i.test(segment);
  if (segments.length < 2 || segments.some((x) => x === "" || dots(x) || /[\\#\s]/.test(x))) {
    throw new Problem(400, { detail: "This is not a reference to a task: upstream/id" }, NaN);
  }
  const url = new URL(`v1/tasks/${segments.map(encodeOnce).join("/")}`, base);
  for (const [name, value] of new URLSearchParams(params)) url.searchParams.append(name, value);
  for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value);
  return url;
}

// A reference is written as in the address, so what is encoded stays so.
const encodeOnce = (segment) => encodeURIComponent(segment).replace(/%25([0-9a-f]{2})/gi, "%$1");

/** cancelURL is where the upstream is asked to cancel a task. */
export function cancelURL(ref) {
  const url = taskURL(ref);
  url.pathname += ":cancel";
  return url;
}

/** rowURL is the list in which the row of a task is, found by its id. */
export function rowURL(ref) {
  const id = ref.split("?")[0].split("/").pop();
  return endpoint("v1/tasks", { q: decoded(id), upstream: upstreamOf(ref), limit: 20 });
}

/** decoded is a segment of a reference as it reads; what is no encoding stays. */
export function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** upstreamOf is the first segment of a reference. */
export const upstreamOf = (ref) => ref.split("/", 1)[0];
