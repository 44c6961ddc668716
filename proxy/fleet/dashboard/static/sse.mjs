// Reading server-sent events with fetch, which can send headers where
// EventSource cannot (WHATWG HTML, section 9.2).

/** Parser turns pieces of a stream into events. */
export class Parser {
  #rest = "";
  #data = [];
  #event = "";
  #sawCR = false;
  lastEventID = "";

  /** push returns the events that text completes: {event, data, id}. */
  push(text) {
    const events = [];
    if (text === "") return events;
    // A CR that ended the last piece has ended its line; its LF adds no other.
    if (this.#sawCR && text.startsWith("\n")) text = text.slice(1);
    this.#sawCR = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line, events);
    return events;
  }

  #line(line, events) {
    if (line === "") {
      if (this.#data.length) {
        events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.lastEventID });
      }
      this.#data = [];
      this.#event = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: a heartbeat
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.lastEventID = value;
  }
}

const SILENCE = 40_000; // ms; Pollux sends a comment every 15 s, so two were lost
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/** pauseAfter is how long to wait after so many failures in a row, in ms. It
 * doubles, and is spread so that a restart is not met by everybody at once. */
export function pauseAfter(failures, random = Math.random) {
  const full = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.max(0, failures - 1));
  return full * (0.5 + random() / 2);
}

// What a repetition cannot mend. Everything else is a Pollux that restarts, is
// busy, or cannot be reached.
const FINAL = new Set([400, 401, 403, 404, 405, 406, 410, 501]);

/** follow keeps a stream open until signal aborts, Pollux says 204 or refuses.
 *
 * open(lastEventID, signal) resolves with a Response. Calls back:
 * event({event, data, id}), beat() for every piece received, state(word,
 * milliseconds, err) with word one of connecting, live, waiting, ended, refused,
 * err being what it waits for the end of, if Pollux said, and problem(err) when
 * refused. While visible.hidden() says so nothing is open,
 * since browsers allow six connections to a server over all tabs. */
export async function follow({ open, signal, event, beat, state, problem, visible }) {
  let failures = 0;
  const parser = { lastEventID: "" };
  while (!signal.aborted) {
    await visible.shown(signal);
    if (signal.aborted) return;
    state("connecting", 0);
    const attempt = new Attempt(signal, visible);
    let trouble;
    try {
      const response = await open(parser.lastEventID, attempt.signal);
      if (response.status === 204) return state("ended", 0);
      failures = 0;
      state("live", 0);
      beat();
      await attempt.read(response, parser, event, beat);
      failures = 1; // an end without a word: a restart, or we were too slow
    } catch (err) {
      if (signal.aborted) return;
      if (FINAL.has(err.status)) {
        state("refused", 0);
        return problem(err);
      }
      if (attempt.hidden) continue;
      failures++;
      if (err.status > 0) trouble = err;
      if (err.retryAfter > 0) await pause(Math.min(err.retryAfter, 60) * 1000, signal, state, trouble);
    } finally {
      attempt.close();
    }
    if (!attempt.hidden) await pause(pauseAfter(failures), signal, state, trouble);
  }
}

/** Attempt is one connection. It ends with its caller's signal, after a long
 * silence, or when the page is out of sight. */
class Attempt {
  hidden = false;
  #controller = new AbortController();
  #timer;
  #stop;

  constructor(outer, visible) {
    const abort = () => this.#controller.abort();
    outer.addEventListener("abort", abort, { once: true });
    const unwatch = visible.onHidden(() => {
      this.hidden = true;
      abort();
    });
    this.#stop = () => {
      outer.removeEventListener("abort", abort);
      unwatch();
    };
    this.#listen();
  }

  get signal() {
    return this.#controller.signal;
  }

  async read(response, parser, event, beat) {
    const mine = new Parser();
    mine.lastEventID = parser.lastEventID;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#listen();
      beat();
      for (const e of mine.push(decoder.decode(value, { stream: true }))) {
        parser.lastEventID = e.id;
        event(e);
      }
    }
  }

  #listen() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), SILENCE);
  }

  close() {
    clearTimeout(this.#timer);
    this.#stop();
    this.#controller.abort();
  }
}

function pause(milliseconds, signal, state, trouble) {
  state("waiting", milliseconds, trouble);
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
