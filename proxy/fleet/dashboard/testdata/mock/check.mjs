// Uses the dashboard in a browser as a person would, and fails with the first
// thing that is not as it should be. With SHOTS=folder it leaves pictures there;
// arguments name the parts of it that are run, see the end.

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Browser, ended, inSight, started } from "./browser.mjs";

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

const LOOKS = [1440, 1024, 400].flatMap((width) => [false, true].map((dark) => ({ width, height: 900, dark })));
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

// inEveryLook shows the page at each width in both themes: f checks it there.
async function inEveryLook(name, f = () => {}) {
  for (const look of LOOKS) {
    await browser.look({ ...look, calm: true }); // a colour on its way to another has no contrast to speak of
    await browser.run("scrollTo(0, 0)");
    const which = `${name} at ${look.width} px, ${look.dark ? "dark" : "light"}`;
    assert.ok(await browser.run("document.documentElement.scrollWidth <= innerWidth"), `${which} is wider than the window`);
    await f(which, look);
    if (!process.env.SHOTS) continue;
    await mkdir(process.env.SHOTS, { recursive: true });
    await writeFile(join(process.env.SHOTS, `${name}-${look.width}-${look.dark ? "dark" : "light"}.png`), await browser.picture());
  }
  await browser.look();
}

// Of what the page shows, or of an element that lies above the rest. What does
// not hang on colours is looked for in the light theme.
async function accessible(which, { dark }, within = "document") {
  await browser.run(`globalThis.axe ? true : (() => { ${axe}\n; return true; })()`);
  const rules = dark ? ", runOnly: ['color-contrast', 'link-in-text-block']" : "";
  const found = await browser.run(`axe.run(${within}, { resultTypes: ['violations'], preload: false${rules} }).then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ': ' + v.nodes[0].html + ' ' + v.nodes[0].failureSummary))`);
  assert.deepEqual(found, [], which);
}

const control = async (mock, path) => assert.ok((await fetch(`${mock.url.replace("/dashboard", "")}/mock/${path}`)).ok, path);

// A replica without its store says so where it is seen, and keeps what it showed.
async function goesOnAlone(mock) {
  const failures = await browser.run("document.querySelectorAll('.failure').length");
  await control(mock, "alone?on=yes");
  const note = "document.getElementById('store')";
  await until(`${note}.checkVisibility() && ${note}.textContent.includes('goes on alone') && document.getElementById('replicas').textContent.includes('goes on alone')`);
  await inEveryLook("alone", async (which, look) => {
    const { top, bottom } = await browser.run(`(({ top, bottom }) => ({ top, bottom }))(${note}.getBoundingClientRect())`);
    assert.ok(top >= 0 && bottom <= 900, `${which}: out of sight`);
    await accessible(which, look);
  });
  assert.equal(await browser.run("document.querySelectorAll('.failure').length"), failures);
  await control(mock, "alone?on=no");
  await until(`${note}.hidden`);
}

// showFailed leaves few rows: of many, which axe sees elsewhere, it takes minutes.
async function showFailed() {
  await browser.run("location.hash = '#status=failed'");
  await until(`${rows}.length && ${rows}.every((r) => r.querySelector('.badge.failed'))`);
}

async function troubleIsAtTheTop(mock) {
  await until(`${rows}.length > 20 && ${isLive} && document.querySelector('.card .pill')`);
  await showFailed();
  const dead = (name) => control(mock, `dead?upstream=${name}`);
  const first = inSight(".states-line, .state-chip"); // on a phone its line
  await inEveryLook("fleet", async (which, look) => {
    await until(`!${first}.startsWith('shannon')`);
    await dead("shannon");
    await until(`(${first}.match(/^(shannon|orq|vessl|gumloop)/) ?? [''])[0] && document.querySelector('#states').textContent.includes('shannoncut off')`);
    await until("document.title.match(/shannon cut off|in trouble/) && document.getElementById('live').dataset.trouble === 'bad'");
    await until("['shannon', 'orq', 'vessl', 'gumloop-flow'].includes(document.querySelector('.card .name').textContent)"); // and its card comes first
    await accessible(which, look);
    await dead("");
  });
}

// Of many rows only those that are seen cost anything.
async function drawsWhatIsSeen() {
  await until(`${rows}.length === 50 && ${isLive}`);
  for (let loaded = 100; loaded <= 300; loaded += 50) {
    await press("Show more");
    await until(`${rows}.length >= ${loaded}`);
  }
  const drawn = await browser.run(`${rows}.filter((r) => r.firstElementChild.checkVisibility({ contentVisibilityAuto: true })).length`);
  assert.ok(drawn > 5 && drawn < 150, `${drawn} of 300 rows are drawn`);
  const checked = (n) => `${rows}.at(${n}).querySelector('.c-checked').textContent`;
  const first = await browser.run(checked(0));
  const last = await browser.run(checked(-1));
  await until(`${checked(0)} !== ${JSON.stringify(first)}`);
  assert.equal(await browser.run(checked(-1)), last, "a row out of sight was drawn again");
  await browser.run(`${rows}.at(-1).scrollIntoView()`);
  await until(`${checked(-1)} !== ${JSON.stringify(last)}`);
}

async function rowsSayWhy(mock) {
  await browser.run("document.querySelector('.count.failed').click()");
  await until(`${rows}.length && ${rows}.every((r) => r.querySelector('.badge.failed'))`);
  await inEveryLook("failed", async (which, look) => {
    await accessible(which, look);
    const seen = await browser.run(`${rows}.slice(0, 5).filter((r) => [...r.querySelectorAll('.reason, .sub-reason')].some((x) => x.checkVisibility() && x.textContent.length > 10 && x.getBoundingClientRect().width > 40)).length`);
    assert.equal(seen, await browser.run(`Math.min(5, ${rows}.length)`), `${which}: rows without a reason`);
    assert.ok(await browser.run(`${rows}.slice(0, 5).every((r) => r.querySelector('.sub').getBoundingClientRect().height < 40)`), `${which}: a reason takes more than two lines`);
    assert.ok(await browser.run("[...document.querySelectorAll('thead th')].filter((x) => x.checkVisibility()).every((x) => x.scrollWidth <= x.clientWidth)"), `${which}: a heading is cut`);
  });
  await browser.press("x");
  await until(`${rows}.length > 20`);
  // One reference under two credentials.
  const { data } = await (await fetch(new URL("v1/tasks?limit=1000", mock.url))).json();
  const twin = data.find((a) => data.some((b) => a !== b && a.ref === b.ref));
  await browser.run(`location.hash = '#q=${twin.id}'`);
  await until(`${rows}.length === 2 && ${rows}.every((r) => r.dataset.ref === ${JSON.stringify(twin.ref)} && r.querySelector('.note .pill'))`);
  await browser.run("location.hash = ''");
  await until(`${rows}.length > 20`);
}

async function asksAboutLately() {
  await until("document.getElementById('failures-title').textContent === 'Failures in the last hour'");
  await browser.run("(() => { const s = document.querySelector('.lately select'); s.value = '15m'; s.dispatchEvent(new Event('change')); })()");
  await until("location.hash === '#window=15m' && document.getElementById('failures-title').textContent === 'Failures in the last 15 minutes' && document.getElementById('savings').textContent.includes('in the last 15 minutes')");
  await browser.run("location.hash = ''");
  await until("document.getElementById('failures-title').textContent === 'Failures in the last hour'");
}

async function findsWhatIsHidden() {
  const id = await browser.run(`${rows}.find((r) => r.querySelector('.badge.completed'))?.dataset.ref.split('/').pop()`);
  await browser.run(`location.hash = '#status=queued&q=${id}'`);
  // Two where the same id is known under two credentials.
  await until(`${rows}.length && ${rows}.every((r) => r.dataset.ref.endsWith(${JSON.stringify(id)}))`);
  await browser.run("location.hash = '#from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z'");
  await until("document.querySelector('.tasks .empty')?.checkVisibility() && document.querySelector('#chips .chip')?.textContent.includes('2001')");
  await browser.run("location.hash = ''");
  await until(`${rows}.length > 20`);
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
  await until("document.getElementById('tasks').matches(':hover')"); // a busy browser is told a moment later
  await browser.press("n");
  const order = `${rows}.map((r) => r.dataset.ref).join()`;
  const before = await browser.run(order);
  await until("!document.getElementById('new').hidden");
  assert.ok((await browser.run(order)) === before, "rows moved under the pointer");
  await browser.press("n");
  await until(`${order} !== ${JSON.stringify(before)}`);
  await browser.point(2, 2);
}

const press = (text) => browser.run(`[...document.querySelectorAll("button")].find((b) => b.checkVisibility() && b.textContent === ${JSON.stringify(text)}).click()`);
const asked = async (mock) => (await fetch(`${mock.url.replace("/dashboard", "")}/mock/asked`)).json();

async function cancelsMany(mock) {
  await browser.run("location.hash = '#terminal=false'");
  await until(`${rows}.length > 5 && ${rows}.every((r) => r.querySelector('.badge.queued, .badge.in_progress, .badge.requires_action'))`);
  await browser.run("document.activeElement.blur()");
  await browser.press("s");
  await control(mock, "calm?on=yes"); // what is chosen does not end meanwhile
  await until("document.querySelector('.selecting') && document.getElementById('selection').checkVisibility()");
  assert.ok(await browser.run(`${rows}.filter((r) => r.dataset.ref.startsWith('vessl/')).every((r) => r.querySelector('.pick').disabled)`), "what its upstream does not cancel can be chosen");
  // A click chooses, and opens nothing.
  await browser.run(`${rows}.find((r) => r.dataset.ref.startsWith('orq/')).querySelector('.ref').click()`);
  await browser.run(`${rows}.find((r) => r.dataset.ref.startsWith('shannon/')).querySelector('.pick').click()`);
  await until("document.getElementById('selection').textContent.startsWith('2 of ')");
  await inEveryLook("selecting", accessible);
  const chosen = await browser.run(`${rows}.filter((r) => r.querySelector('.pick').checked).map((r) => r.dataset.ref)`);
  await press("Cancel them");
  await until("document.getElementById('confirm').open");
  const said = await browser.run("document.getElementById('confirm').textContent");
  assert.ok(["Cancel 2 tasks?", "orq is asked once", "shannon is asked once", "POST /v1/tasks/{id}/cancel"].every((x) => said.includes(x)), said);
  await inEveryLook("cancelling", accessible);
  await press("Cancel 2 tasks");
  await until("document.getElementById('confirm').open && document.getElementById('confirm').textContent.includes('1 task: it is too late')");
  assert.deepEqual((await asked(mock)).toSorted(), chosen.map((ref) => `cancel ${ref}`).toSorted());
  await press("Close");
  await until("!document.querySelector('.selecting')");
  await control(mock, "calm?on=no");
}

async function followsWebhooks(mock) {
  await showFailed();
  await browser.run("document.getElementById('to-webhooks').click()");
  await until(`document.querySelectorAll('.hooks > li').length === 50 && ${isLive} && document.getElementById('to-webhooks').getAttribute('aria-current') === 'page'`);
  await press("Show more");
  await until("document.querySelectorAll('.hooks > li').length === 60");
  await browser.run("document.querySelectorAll('.hooks summary')[1].click()");
  await until("document.querySelectorAll('.hook-deliveries > li').length === 3 && document.querySelector('.hook-deliveries').textContent.includes('next attempt in')");
  await inEveryLook("webhooks", accessible);
  await press("Redeliver");
  await until("document.getElementById('confirm').open");
  await press("Send again");
  await until("document.getElementById('toast').textContent === 'Sent again'");
  await press("End");
  await until("document.getElementById('confirm').open");
  await press("End it");
  await until("document.querySelectorAll('.hooks > li').length === 59");
  assert.deepEqual((await asked(mock)).slice(-2), ["POST wh_busy:redeliver", "DELETE wh_busy"]);
  await browser.press("Escape");
  await until(`!document.getElementById('overview').hidden && ${rows}.length > 5`);
}

// The theme that was chosen wins over the computer's, and is kept.
async function keepsTheme() {
  const ground = "getComputedStyle(document.body).backgroundColor";
  await browser.look({ dark: true });
  const dark = await browser.run(ground);
  await browser.run("document.getElementById('me-open').click()");
  assert.match(await browser.run("document.getElementById('me').innerText"), /Nobody has to log in here[^]*Pollux v1\.2\.3/);
  await inEveryLook("me", (which, look) => accessible(which, look, "document.getElementById('me')"));
  await browser.look({ dark: true });
  await browser.run("document.querySelector('#themes [value=light]').click()");
  const light = await browser.run(ground);
  assert.notEqual(light, dark);
  await browser.call("Page.reload");
  await until(`document.readyState === 'complete' && ${rows}.length > 5`);
  assert.equal(await browser.run(ground), light);
  await browser.run("document.getElementById('me-open').click()");
  await browser.run("document.querySelector('#themes [value=auto]').click()");
  assert.equal(await browser.run(ground), dark);
  await browser.press("Escape");
  await browser.look();
}

// A key without the scope fleet sees a part, and is told so.
async function seesAPart() {
  await until("document.getElementById('key')");
  await browser.run("document.getElementById('key').select()");
  await browser.type("demo");
  await browser.press("Enter");
  await until(`${rows}.length > 20 && document.getElementById('fleet-note').checkVisibility()`);
  assert.match(await browser.run("document.getElementById('fleet-note').textContent"), /what the key demo sees: a part of the whole/);
  await showFailed();
  await inEveryLook("part", accessible);
  await browser.run("document.getElementById('me-open').click()");
  assert.match(await browser.run("document.getElementById('me').innerText"), /You are demo · may read, submit, webhooks/);
}

async function survivesRestart(mock) {
  const shown = await browser.run(`${rows}.length`);
  await ended(mock.child);
  await until("document.getElementById('live').textContent.includes('reconnecting')");
  await until("document.body.classList.contains('lost') && document.getElementById('lost').textContent.includes('has not been heard since')");
  await inEveryLook("lost", accessible);
  assert.ok(await browser.run(`${rows}.length`) >= Math.max(shown, 5), "the rows went with the connection");
  const again = await serve("--port", new URL(mock.url).port, "--prefix", "/pollux", "--hostile");
  mock.child = again.child;
  await until(`${isLive} && document.getElementById('lost').hidden`);
}

async function logsIn() {
  await until("document.getElementById('key')");
  assert.equal(await browser.run("document.getElementById('overview').hidden"), true);
  await inEveryLook("login", accessible);
  for (const [key, then] of [["wrong", "document.querySelector('#login [role=alert]').textContent.includes('does not know')"], ["demo", `${rows}.length > 20`]]) {
    await browser.run("document.getElementById('key').select()");
    await browser.type(key);
    await browser.press("Enter");
    await until(then);
  }
  assert.equal(await browser.run("document.cookie"), "");
  await browser.run("document.getElementById('me-open').click()");
  await until("document.getElementById('logout').checkVisibility()");
  await browser.run("document.getElementById('logout').click()");
  await until("!document.getElementById('login').hidden && document.getElementById('overview').hidden");
}

async function takesCredential(mock) {
  await until(`${rows}.length > 20`);
  await browser.run("location.hash = '#terminal=false'");
  await until(`${rows}.every((r) => r.querySelector('.badge.queued, .badge.in_progress, .badge.requires_action'))`);
  await browser.run(`${rows}.find((r) => r.querySelector('.badge.queued, .badge.in_progress')).focus()`);
  await browser.press("Enter");
  // Without a credential the page shows what the list knew.
  await until("document.querySelector('.credential') && document.querySelector('.task-columns:not([hidden]) .facts') && document.querySelector('.task-name .badge') && document.querySelector('.timeline li')");
  const runs = "document.querySelector('#task .runs')?.textContent";
  const before = await browser.run(runs);
  await until(`${runs} !== ${JSON.stringify(before)}`); // it goes on
  await inEveryLook("known", accessible);
  const title = await browser.run("document.querySelector('#task-title').textContent");
  await control(mock, `fail?ref=${encodeURIComponent(await browser.run("new URLSearchParams(location.hash.slice(1)).get('task')"))}`);
  await until(`document.querySelector('.task-name .badge.failed') && document.querySelector('.timeline li.failed') && document.querySelector('.callout.bad') && ${isLive}`);
  assert.equal(await browser.run("document.querySelector('#task-title').textContent"), title);
  await browser.run("document.querySelector('.credential [name=value]').focus()");
  await browser.type("wrong");
  await browser.press("Enter");
  await until("document.querySelector('.credential .primary')?.textContent === 'Use this one instead' && [...document.querySelectorAll('.credential .button')].some((b) => b.textContent === 'team-1')");
  await browser.run("document.querySelector('.credential [name=value]').focus()");
  await browser.type("hush-hush"); // the scheme is added
  await browser.press("Enter");
  await until("document.querySelectorAll('.json').length === 2");
  assert.ok(await browser.run("[...document.querySelectorAll('#task .button')].some((b) => b.textContent === 'Change credential' && b.checkVisibility())"));
  assert.equal(await browser.run("document.documentElement.outerHTML.includes('hush-hush') || location.href.includes('hush')"), false);
  await inEveryLook("task", accessible);
}

const PARTS = {
  page: () => withServer(["--prefix", "/pollux", "--hostile"], async (mock) => {
    await readsAndMoves();
    await rowsSayWhy(mock);
    await asksAboutLately();
    await findsWhatIsHidden();
    await filters();
    await rowsStay();
  }),
  acts: () => withServer(["--prefix", "/pollux", "--hostile"], async (mock) => {
    await cancelsMany(mock);
    await followsWebhooks(mock);
    await keepsTheme();
    await survivesRestart(mock);
  }),
  trouble: () => withServer([], async (mock) => {
    await troubleIsAtTheTop(mock);
    await goesOnAlone(mock);
  }),
  login: () => withServer(["--login"], logsIn),
  part: () => withServer(["--login", "--part"], seesAPart),
  many: () => withServer(["--tasks", "10000"], drawsWhatIsSeen),
  credential: () => withServer(["--caller"], takesCredential),
};

try {
  const asked = process.argv.slice(2);
  for (const [name, part] of Object.entries(PARTS)) if (asked.length === 0 || asked.includes(name)) await part();
} finally {
  await browser.close();
}
