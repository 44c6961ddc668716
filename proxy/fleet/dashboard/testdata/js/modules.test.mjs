import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SourceTextModule } from "node:vm";

// Those that need a browser are run there; here they have to be read at least.
const folder = new URL("../../static/", import.meta.url);
for (const name of readdirSync(folder).filter((x) => x.endsWith(".mjs"))) {
  test(name, () => new SourceTextModule(readFileSync(new URL(name, folder), "utf8"), { identifier: name }));
}
