// Uses the dashboard in a browser as a person would, and fails with the first
// thing that is not as it should be.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Browser, ended, started } from "./browser.mjs";

const server = fileURLToPath(new URL("server.mjs", import.meta.url));
const serve = (...args) => started(process.execPath, [server, ...args], /http:\S+/).then(({ child, found }) => ({ child, url: found[0] }));
const WAIT = 30_000; // ms; the machine may be busy with other tests

const browser = await Browser.launch(process.env.CHROMIUM ?? "chromium");
const until = (expression) => browser.until(expression, WAIT);
const rows = "[...document.querySelectorAll('tbody tr[data-ref]')]";
const isLive = "document.getElementById('live').dataset.state === 'live'";
const fits = async (width) => {
  await browser.look({ width, height: 800 });
  assert.ok(await browser.run("document.documentElement.scrollWidth <= innerWidth"), `the page is wider than ${width} px`);
};

async function withServer(args, f) {
  const mock = await serve("--port", "0", ...args);
  try {
    await browser.look();
    await browser.open("about:blank");
    await browser.open(mock.url);
    await f(mock);
    assert.deepEqual(browser.complaints, []);
    assert.equal(await browser.run("globalThis.pwned"), undefined, "text of an upstream ran");
    assert.equal(await browser.run("document.querySelectorAll('main img, main script').length"), 0, "text of an upstream became markup");
  } finally {
    await ended(mock.child);
  }
}

async function readsAndMoves() {
  await until(`${rows}.length > 20 && ${isLive} && document.querySelector('.card .pill')`);
  await browser.point(2, 2);
  for (const key of ["j", "j", "k", "j"]) await browser.press(key);
  const ref = await browser.run("document.activeElement.dataset.ref");
  assert.equal(ref, await browser.run(`${rows}[1].dataset.ref`));

  await browser.press("Enter");
  await until("document.querySelectorAll('.json').length === 2");
  assert.equal(await browser.run("new URLSearchParams(location.hash.slice(1)).get('task')"), ref);
  assert.match(await browser.run("document.querySelectorAll('.json')[1].textContent"), /90071992547409931234,\n {2}"cost": 2\.50/);
  await fits(400);
  await browser.look();

  await browser.press("r");
  await until("document.querySelector('.timeline .read')?.textContent.includes('fwd=stale')");
  await browser.press("Escape");
  await until(`document.activeElement.dataset.ref === ${JSON.stringify(ref)}`);
  for (const width of [320, 400, 700, 1000, 1440]) await fits(width);
  await browser.look();
}

async function filters() {
  await browser.press("/");
  await browser.type("task-");
  await until(`location.hash === '#q=task-' && ${rows}.length && ${rows}.every((r) => r.dataset.ref.startsWith('shannon/'))`);
  await browser.press("Escape");
  await until("location.hash === '' || location.hash === '#'");
  await browser.run("document.querySelector('.count.failed').click()");
  await until(`${rows}.length && ${rows}.every((r) => r.querySelector('.badge.failed'))`);
  await browser.run("document.querySelector('.card .name').click()");
  await until("document.querySelectorAll('#chips .chip').length === 2 && document.querySelector('.card.chosen')");
  await browser.run("document.activeElement.blur()");
  await browser.press("x");
  await until(`document.querySelectorAll('#chips .chip').length === 0 && ${rows}.length > 20`);
  await browser.press("t");
  await until(`${rows}[0]?.querySelector('.badge.failed, .badge.timed_out, .pill.warn')`);
  await browser.press("t");
}

async function rowsStay() {
  await until(`location.hash.indexOf('first') < 0 && !document.querySelector('table[aria-busy]') && ${rows}.length > 20`);
  const { x, y } = await browser.run(`(({x, y}) => ({x, y}))(${rows}[3].getBoundingClientRect())`);
  await browser.point(x + 60, y + 10);
  await browser.press("n");
  const order = `${rows}.map((r) => r.dataset.ref).join()`;
  const before = await browser.run(order);
  await until("!document.getElementById('new').hidden");
  assert.ok((await browser.run(order)) === before, "rows moved under the pointer");
  await browser.press("n");
  await until(`${order} !== ${JSON.stringify(before)}`);
  await browser.point(2, 2);
}

async function survivesRestart(mock) {
  await ended(mock.child);
  await until("document.getElementById('live').textContent.includes('reconnecting')");
  assert.ok(await browser.run(`${rows}.length > 20`), "the rows went with the connection");
  const again = await serve("--port", new URL(mock.url).port, "--prefix", "/pollux", "--hostile");
  mock.child = again.child;
  await until(isLive);
}

async function logsIn() {
  await until("document.getElementById('key')");
  assert.equal(await browser.run("document.getElementById('overview').hidden"), true);
  for (const [key, then] of [["wrong", "document.querySelector('#login [role=alert]').textContent.includes('does not know')"], ["demo", `${rows}.length > 20`]]) {
    await browser.run("document.getElementById('key').select()");
    await browser.type(key);
    await browser.press("Enter");
    await until(then);
  }
  assert.equal(await browser.run("document.cookie"), "");
  await browser.run("document.getElementById('logout').click()");
  await until("!document.getElementById('login').hidden && document.getElementById('overview').hidden");
}

async function takesCredential() {
  await until(`${rows}.length > 20`);
  await browser.press("j");
  await browser.press("Enter");
  await until("document.querySelector('.credential')");
  await browser.run("document.querySelector('.credential [name=value]').focus()");
  await browser.type("Bearer hush-hush");
  await browser.press("Enter");
  await until("document.querySelectorAll('.json').length === 2");
  assert.equal(await browser.run("document.documentElement.outerHTML.includes('hush-hush') || location.href.includes('hush')"), false);
}

try {
  await withServer(["--prefix", "/pollux", "--hostile"], async (mock) => {
    await readsAndMoves();
    await filters();
    await rowsStay();
    await survivesRestart(mock);
  });
  await withServer(["--login"], logsIn);
  await withServer(["--caller"], takesCredential);
} finally {
  await browser.close();
}
