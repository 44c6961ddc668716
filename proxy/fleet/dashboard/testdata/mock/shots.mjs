// Pictures of the pages in all their looks, to be looked at:
//
//   node --experimental-websocket testdata/mock/shots.mjs <folder> [part of a name]

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Browser, ended, started } from "./browser.mjs";

const [folder, part = ""] = process.argv.slice(2);
if (!folder) {
  console.error("usage: shots.mjs <folder> [part of a name]");
  process.exit(64);
}
await mkdir(folder, { recursive: true });

const server = fileURLToPath(new URL("server.mjs", import.meta.url));
const { child, found } = await started(process.execPath, [server, "--port", "0"], /http:\S+/);
const browser = await Browser.launch(process.env.CHROMIUM ?? "chromium");
try {
  const ref = await taskWith("completed");
  const failed = await taskWith("failed");
  const shots = {
    "fleet-light": ["", {}], "fleet-dark": ["", { dark: true }], "fleet-400": ["", { width: 400, height: 1500 }], "fleet-400-dark": ["", { width: 400, height: 1500, dark: true }],
    "fleet-1000": ["", { width: 1000, height: 900 }], "fleet-1920": ["", { width: 1920, height: 1000 }], "fleet-trouble": ["#first=trouble&status=failed,in_progress&upstream=shannon", {}],
    "task-light": [`#task=${encodeURIComponent(ref)}`, {}], "task-dark": [`#task=${encodeURIComponent(failed)}`, { dark: true }], "task-400": [`#task=${encodeURIComponent(ref)}`, { width: 400, height: 1500 }],
  };
  for (const [name, [hash, look]] of Object.entries(shots).filter(([n]) => n.includes(part))) {
    await browser.look(look);
    await browser.open("about:blank");
    await browser.open(found[0] + hash);
    await browser.until(hash.startsWith("#task") ? "document.querySelector('.json')" : "document.querySelector('tbody tr[data-ref]') && document.querySelector('.card .pill')?.textContent");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await writeFile(join(folder, `${name}.png`), await browser.picture());
    await browser.run("scrollTo(0, 1e6)");
    await writeFile(join(folder, `${name}-end.png`), await browser.picture());
  }
} finally {
  await browser.close();
  await ended(child);
}

async function taskWith(status) {
  const list = await (await fetch(new URL(`v1/tasks?status=${status}`, found[0]))).json();
  return list.data[0].ref;
}
