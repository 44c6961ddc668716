// Drives a headless Chromium over the DevTools protocol, without a library.
// Needs a global WebSocket: Node 22, or Node 20 with --experimental-websocket.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
  "--remote-debugging-port=0"];

/** started runs a program and resolves with {child, found} once a line of its
 * output matches. */
export function started(command, args, pattern, from = "stdout") {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let text = "";
    child[from].on("data", (piece) => {
      text += piece;
      const found = text.match(pattern);
      if (found) resolve({ child, found });
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${text}`)));
  });
}

/** ended stops a child and resolves when it is gone. */
export function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill("SIGKILL");
  });
}

/** inSight is an expression for the text of the first element in use that
 * selector finds, "" where it is not wholly in the window, or covered. */
export const inSight = (selector) => `(() => {
  const e = [...document.querySelectorAll('${selector}')].find((x) => x.checkVisibility());
  const r = e?.getBoundingClientRect();
  return e && r.top >= 0 && r.bottom <= innerHeight && e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2)) ? e.textContent : '';
})()`;

export class Browser {
  #next = 0;
  #calls = new Map();
  complaints = []; // exceptions, errors of the console, refusals of the policy

  static async launch(program) {
    const browser = new Browser();
    browser.dir = await mkdtemp(join(tmpdir(), "pollux-browser-"));
    const { child, found } = await started(program, [...FLAGS, `--user-data-dir=${browser.dir}`, "about:blank"], /DevTools listening on (\S+)/, "stderr");
    browser.child = child;
    const pages = await (await fetch(`http://${new URL(found[1]).host}/json/list`)).json();
    await browser.#connect(pages.find((p) => p.type === "page").webSocketDebuggerUrl);
    return browser;
  }

  async #connect(address) {
    this.socket = new WebSocket(address);
    await new Promise((resolve, reject) => Object.assign(this.socket, { onopen: resolve, onerror: reject }));
    this.socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    for (const domain of ["Page", "Runtime", "Log"]) await this.call(`${domain}.enable`);
  }

  #hear({ id, result, error, method, params }) {
    if (id) {
      const { resolve, reject } = this.#calls.get(id);
      this.#calls.delete(id);
      return error ? reject(new Error(error.message)) : resolve(result);
    }
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") this.complaints.push(params.args.map((a) => a.value ?? a.description).join(" "));
    if (method === "Log.entryAdded" && params.entry.level === "error" && params.entry.source !== "network") this.complaints.push(params.entry.text);
  }

  call(method, params = {}) {
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** look sets the size of the window and the preferences of its user. */
  async look({ width = 1440, height = 900, dark = false, calm = false } = {}) {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await this.call("Emulation.setEmulatedMedia", { features: [
      { name: "prefers-color-scheme", value: dark ? "dark" : "light" }, { name: "prefers-reduced-motion", value: calm ? "reduce" : "no-preference" }] });
  }

  open(url) {
    return this.call("Page.navigate", { url });
  }

  /** run evaluates an expression in the page, past its policy. */
  async run(expression) {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** until waits for an expression to become true. */
  async until(expression, milliseconds = 15_000) {
    const end = Date.now() + milliseconds;
    for (;;) {
      const value = await this.run(expression).catch(() => false);
      if (value) return value;
      if (Date.now() > end) throw new Error(`still not true after ${milliseconds} ms: ${expression}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** press is one key, such as "j" or "Enter". */
  async press(key) {
    const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
    await this.call("Input.dispatchKeyEvent", { type: "keyDown", key, text, windowsVirtualKeyCode: { Enter: 13, Escape: 27 }[key] });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", key });
  }

  type(text) {
    return this.call("Input.insertText", { text });
  }

  async point(x, y) {
    await this.call("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
  }

  async picture() {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  async close() {
    this.socket.close();
    await ended(this.child);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }
}
