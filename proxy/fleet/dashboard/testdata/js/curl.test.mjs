import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { curl, quoted } from "../../static/curl.mjs";

test("credentials are named and not told", () => {
  assert.equal(curl("http://h/v1/tasks/a/b?x=1&y=2", ["X-Pollux-Key"]), `curl -sS -H "X-Pollux-Key: $X_POLLUX_KEY" 'http://h/v1/tasks/a/b?x=1&y=2'`);
});

test("a shell reads back what was quoted", () => {
  for (const word of ["a", "", "it's", "$(id) `id` \\ \" ' ;&|\n*"]) {
    assert.equal(execFileSync("sh", ["-c", `printf %s ${quoted(word)}`], { encoding: "utf8" }), word);
  }
});
