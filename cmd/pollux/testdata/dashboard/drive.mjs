// Uses the dashboard of a real Pollux as a person would, and fails with the
// first thing that is not as it should be. The test beside this folder starts
// it, and moves the upstream's jobs and Pollux at its word.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Browser, inSight } from "../../../../proxy/fleet/dashboard/testdata/mock/browser.mjs";

const { OPEN, KEYED, KEY, ANONYMOUS, CONTROL } = process.env;
const JOBS = 7;
const CREDENTIAL = "Bearer team-1";

const browser = await Browser.launch("chromium");
process.once("SIGINT", () => browser.close().finally(() => process.exit(1)));
const until = (expression) => browser.until(expression);
const rows = "[...document.querySelectorAll('tbody tr[data-ref]')]";
const row = (state) => `document.querySelector('tbody tr[data-ref*="job-${state}"]')`;
const live = "document.getElementById('live').dataset.state === 'live'";
const button = (text) => `[...document.querySelectorAll('#task button')].find((b) => b.textContent === '${text}')`;
const taskIs = (status) => until(`document.querySelector('.task-name .badge.${status}')`);
const count = (status) => `document.querySelector('.count.${status} .number').textContent`;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const PACE = 400; // ms; a little more than the least time between two polls of a job
const SEEN_WITHIN = 2000; // ms; what is promised of an upstream's death
const FRESH = 2100; // ms; a little more than an answer about a running job is fresh for
const idOf = (state) => browser.run(`decodeURIComponent(${row(state)}.dataset.ref.split('/')[1])`);

async function control(action, values = {}) {
  const answer = await fetch(`${CONTROL}/${action}?${new URLSearchParams(values)}`);
  const text = await answer.text();
  assert.equal(answer.status, 200, `${action}: ${text}`);
  return Number(text);
}

async function open(url) {
  await browser.look();
  await browser.open("about:blank");
  await browser.open(url);
  await until(`document.readyState === 'complete'`);
  // It is gone after a reload.
  await browser.run("globalThis.sameDocument = true");
}

// Until now: nothing was loaded anew, nothing ran, nothing was complained about.
async function unharmed() {
  assert.equal(await browser.run("globalThis.sameDocument"), true, "the page was loaded again");
  assert.equal(await browser.run("globalThis.pwned"), undefined, "text of an upstream ran");
  assert.equal(await browser.run("document.querySelectorAll('main img, main script').length"), 0, "text of an upstream became markup");
  assert.deepEqual(browser.complaints, []);
}

async function showsTheFleet() {
  await until(`${rows}.length === ${JOBS} && ${live}`);
  await until(`${count("failed")} === '1' && ${count("unknown")} === '1' && document.querySelectorAll('.card').length === 2`);
  assert.match(await browser.run("document.querySelector('#failures .message').textContent"), /it broke <img/);
  assert.match(await browser.run("document.getElementById('summary').textContent"), /lines: the last .*since Pollux started/);
  assert.match(await browser.run(`${row("error")}.textContent`), /E<img/);
  await unharmed();
}

// An upstream that dies is seen at the top in time, whatever the screen: the best
// of ten deaths counts, as the machine may be busy. Each comes just after the
// page has asked, which is when it learns last.
async function tellsOfTheDead() {
  const cutOff = `(/^jobs ?cut off/.test(${inSight(".states-line, .state-chip")}) && document.title.startsWith('jobs cut off'))`;
  for (const width of [1440, 1024, 400]) {
    await browser.look({ width, height: 800 });
    let inTime = false;
    for (let death = 0; death < 10 && !inTime; death++) {
      await until(`!${cutOff}`);
      await browser.run("scrollTo(0, 0); performance.clearResourceTimings()");
      await until("performance.getEntriesByName(`${location.origin}/v1/upstreams`).length");
      const died = performance.now();
      await control("die");
      const seen = await browser.until(cutOff, SEEN_WITHIN).catch(() => false);
      inTime = seen && performance.now() - died < SEEN_WITHIN;
      await control("revive");
    }
    assert.ok(inTime, `at ${width} px a dead upstream was not seen at the top within ${SEEN_WITHIN} ms, ten times`);
  }
}

async function filtersAndFinds() {
  await browser.run("document.querySelector('.count.failed').click()");
  await until(`${rows}.length === 1 && ${row("error")}`);
  assert.equal(await browser.run("location.hash"), "#status=failed");
  await browser.run("document.activeElement.blur()");
  await browser.press("x");
  await until(`${rows}.length === ${JOBS}`);
  await browser.press("/");
  await browser.type("job-act");
  await until(`${rows}.length === 1 && ${row("active")}`);
  await browser.press("Escape");
  await until(`${rows}.length === ${JOBS}`);
  await browser.run("[...document.querySelectorAll('.card .name')].find((b) => b.textContent === 'spare').click()");
  await until(`${rows}.length === 0 && !document.querySelector('.empty').hidden`);
  await browser.run("document.querySelector('.empty .button').click()");
  await until(`${rows}.length === ${JOBS}`);
  await browser.run("document.activeElement.blur()");
  await browser.press("t");
  await until(`${rows}[0]?.dataset.ref.includes('job-error')`);
  await browser.press("t");
  await until("!location.hash.includes('first')");
}

// A row changes in its place once somebody else's poll brought news.
async function rowsChange() {
  await browser.point(2, 2);
  const id = await idOf("waiting");
  await control("move", { id, state: "ACTIVE" });
  await pause(FRESH);
  await control("poll", { id });
  await until(`${row("waiting")}.querySelector('.badge.in_progress')`);
  await until(`${count("queued")} === '0' && ${count("in_progress")} === '2'`);
  await unharmed();
}

async function opensATask() {
  const id = await idOf("active");
  await browser.run(`${row("active")}.focus()`);
  await browser.press("Enter");
  await until("document.querySelector('.credential [name=value]')");
  assert.equal(await browser.run("document.querySelector('.credential [name=header]').value"), "Authorization");
  await browser.run("document.querySelector('.credential [name=value]').focus()");
  await browser.type(CREDENTIAL);
  await browser.press("Enter");
  await taskIs("in_progress");
  await until("document.querySelectorAll('.json').length === 2 && document.querySelector('.timeline li.in_progress')");
  assert.match(await browser.run("document.querySelectorAll('.json')[1].textContent"), /90071992547409931234/);
  assert.equal(await browser.run("document.querySelector('#task-title').textContent"), id);
  await unharmed();

  await browser.run("navigator.clipboard.writeText = async (text) => { globalThis.copied = text }");
  await browser.run(`${button("Copy as curl")}.click()`);
  const command = await until("globalThis.copied");
  assert.ok(!command.includes(CREDENTIAL), "the command holds the credential");
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { env: { ...process.env, AUTHORIZATION: CREDENTIAL } });
  assert.equal(JSON.parse(stdout).id, id);

  for (const [state, status] of [["HELD", "requires_action"], ["ACTIVE", "in_progress"]]) {
    await control("move", { id, state });
    await pause(PACE);
    await browser.press("r"); // what is stored is fresh for a while yet
    await taskIs(status);
    await unharmed();
  }
  assert.ok(await browser.run("document.querySelector('.timeline li.requires_action')"), "the history lacks a status");
  const polls = await control("polls", { id });
  await pause(PACE);
  await browser.run(`${button("Ask again")}.click()`);
  await until("document.querySelectorAll('.timeline .read').length > 2");
  assert.ok((await control("polls", { id })) > polls, "the upstream was not asked again");
  await control("move", { id, state: "ERROR" });
  await taskIs("failed"); // by itself
  assert.match(await browser.run("document.querySelector('.callout.bad').textContent"), /it broke <img/);
  await unharmed();
  return id;
}

async function forgets(state) {
  await browser.run(`${button("Forget")}.click()`);
  await until("document.getElementById('confirm').open");
  await browser.run("document.getElementById('confirm-yes').click()");
  await until(`!document.getElementById('overview').hidden && ${rows}.length === ${JOBS - 1} && !${row(state)}`);
}

// Pollux goes away and comes back, under the fleet and under a task.
async function survivesRestarts() {
  await until(live);
  await control("down");
  await until("document.getElementById('live').textContent.includes('reconnecting')");
  assert.equal(await browser.run(`${rows}.length`), JOBS - 1, "the rows went with the connection");
  await control("up");
  await until(live);

  const id = await idOf("waiting");
  await browser.run(`${row("waiting")}.focus()`);
  await browser.press("Enter");
  await taskIs("in_progress"); // the credential was typed before
  await control("down");
  await until("document.getElementById('live').textContent.includes('reconnecting')");
  assert.ok(await browser.run("document.querySelector('.task-name .badge.in_progress')"), "the task went with the connection");
  await control("move", { id, state: "DONE" });
  await control("up");
  await taskIs("completed");
  await browser.press("Escape");
  await until(`${row("waiting")}?.querySelector('.badge.completed')`);
  await unharmed();
}

async function showsEveryTask() {
  for (const state of ["held", "done", "cut", "error", "news"]) {
    await browser.run(`location.hash = '#task=' + encodeURIComponent(${row(state)}.dataset.ref)`);
    await until(`document.querySelectorAll('.json').length === 2 && document.querySelector('#task-title').textContent.startsWith('job-${state}')`);
    await unharmed();
    await browser.press("Escape");
    await until(`${rows}.length === ${JOBS - 1}`);
  }
}

async function logsIn() {
  await until("document.getElementById('key')");
  assert.equal(await browser.run("document.getElementById('overview').hidden"), true);
  for (const [key, then] of [["wrong", "!document.querySelector('#login [role=alert]').hidden"], [KEY, `${rows}.length === ${JOBS} && ${live}`]]) {
    await browser.run("document.getElementById('key').select()");
    await browser.type(key);
    await browser.press("Enter");
    await until(then);
  }
  assert.equal(await browser.run("document.cookie"), "", "scripts can read the session");
  await browser.run(`${row("done")}.focus()`);
  await browser.press("Enter");
  await taskIs("completed"); // Pollux holds the upstream's credential
  await forgets("done");
  await unharmed();
  await browser.run("document.getElementById('logout').click()");
  await until("!document.getElementById('login').hidden && document.getElementById('overview').hidden");
}

// Where nobody may see the fleet, a task opens by its reference.
async function readsWithoutTheFleet() {
  await until("document.getElementById('fleet-note').textContent.includes('nobody the whole fleet')");
  await until("document.getElementById('live-word').textContent === 'not live'");
  await browser.press("/");
  await browser.type("jobs/job-done%3Cimg");
  await browser.press("Enter");
  await until("document.querySelector('.credential')");
}

try {
  await open(`${OPEN}/dashboard`);
  await showsTheFleet();
  await filtersAndFinds();
  await rowsChange();
  await opensATask();
  await forgets("active");
  await survivesRestarts();
  await showsEveryTask();
  await tellsOfTheDead();
  await open(`${KEYED}/dashboard`);
  await logsIn();
  await open(`${ANONYMOUS}/dashboard`);
  await readsWithoutTheFleet();
} catch (err) {
  console.error(await browser.run("document.body.innerText").catch(() => "the page does not answer"));
  throw err;
} finally {
  await browser.close();
}
