import assert from "node:assert/strict";
import { test } from "node:test";
import { everything, format, parse, toggled } from "../../static/route.mjs";

test("a view survives its address", () => {
  const views = [
    everything,
    { ...everything, status: ["failed", "timed_out"], upstream: "orq & co", q: "task_1%", since: "1h", sort: "updated_at", terminal: "true", trouble: true },
    { view: "task", ref: "orq/research%20agent%2Fx/01K8?user_id=a&b=ü" },
  ];
  for (const view of views) assert.deepEqual(parse(format(view)), view, format(view));
});

test("defaults are not in the address", () => {
  assert.equal(format(everything), "#");
  assert.equal(format({ ...everything, status: ["failed", "queued"] }), "#status=failed,queued");
});

test("what is not understood is left out", () => {
  const state = parse("#status=failed,<b>,,x%20y&sort=name&terminal=maybe&since=1y&first=last&more=1");
  assert.deepEqual(state, { ...everything, status: ["failed"] });
});

test("a status is toggled without changing the state before", () => {
  const once = toggled(everything, "failed");
  assert.deepEqual(once.status, ["failed"]);
  assert.deepEqual(toggled(once, "failed").status, []);
  assert.deepEqual(everything.status, []);
});
