import assert from "node:assert/strict";
import { test } from "node:test";
import { endpoint, listURL, openStream, request, taskURL, upstreamOf } from "../../static/api.mjs";
import { everything } from "../../static/route.mjs";

const base = new URL("../../", import.meta.url).href; // as if the page were served from there

test("addresses are relative to the page", () => {
  assert.equal(endpoint("v1/fleet").href, `${base}v1/fleet`);
  assert.equal(endpoint("v1/tasks", { status: "", q: "a b", limit: 5 }).href, `${base}v1/tasks?q=a+b&limit=5`);
});

test("a reference keeps its escapes and its parameters", () => {
  const cases = [
    ["shannon/task-1", "v1/tasks/shannon/task-1?include=native"],
    ["orq/my%20agent%2Fx/01K", "v1/tasks/orq/my%20agent%2Fx/01K?include=native"],
    ["gumloop/abc?user_id=u%26v", "v1/tasks/gumloop/abc?user_id=u%26v&include=native"],
    ["shannon/50%", "v1/tasks/shannon/50%25?include=native"],
  ];
  for (const [ref, want] of cases) assert.equal(taskURL(ref, { include: "native" }).href, base + want, ref);
  assert.equal(upstreamOf("orq/a/b"), "orq");
});

test("a reference leads nowhere else", () => {
  for (const ref of ["", "shannon", "shannon/", "/x", "../session", "a/../../session", "a/%2e%2E/session", "a/.", "a/b#c", "a\\b/c", "a/b c", "//evil.test/x"]) {
    assert.throws(() => taskURL(ref), { status: 400 }, ref);
  }
});

test("the list carries the filters that are set", () => {
  const state = { ...everything, status: ["failed", "queued"], since: "1h", upstream: "orq" };
  const url = listURL(state, Date.parse("2026-01-01T12:00:00Z"), { limit: 50 });
  assert.deepEqual(Object.fromEntries(url.searchParams), { status: "failed,queued", upstream: "orq", since: "2026-01-01T11:00:00.000Z", sort: "-created_at", limit: "50" });
});

test("changes carry the header against forgery, reads leave the cache alone", async (t) => {
  const calls = [];
  t.mock.method(globalThis, "fetch", async (url, init) => {
    calls.push(init);
    return new Response(null, { status: 204 });
  });
  await request("x", { method: "DELETE", headers: { A: "b" } });
  await request("x");
  assert.deepEqual(calls[0].headers, { A: "b", "X-Pollux-CSRF": "1" });
  assert.deepEqual(calls[1].headers, {});
  assert.equal(calls[1].cache, undefined);
});

test("only a stream is taken for one", async (t) => {
  const answer = (response) => t.mock.method(globalThis, "fetch", async () => response);
  answer(new Response("{}", { headers: { "Content-Type": "application/json" } }));
  await assert.rejects(openStream("x", {}), { status: 501 });
  answer(new Response(null, { status: 204 }));
  assert.equal((await openStream("x", {})).status, 204);
  answer(new Response("", { headers: { "Content-Type": "text/event-stream; charset=utf-8" } }));
  assert.equal((await openStream("x", { lastEventID: "7" })).status, 200);
  assert.deepEqual(fetch.mock.calls[0].arguments[1].headers, { Accept: "text/event-stream", "Last-Event-ID": "7" });
});

test("a problem is told in its own words, anything else by its code", async (t) => {
  const answer = (status, body, headers) => t.mock.method(globalThis, "fetch", async () => new Response(body, { status, headers }));
  answer(503, '{"type":"/problems/overloaded","title":"Too busy","detail":"no room","upstream_status":502}', { "Retry-After": "7" });
  await assert.rejects(request("x"), { status: 503, kind: "overloaded", title: "Too busy", message: "no room", retryAfter: 7, upstreamStatus: 502 });
  for (const body of ["<html>", "null", "3"]) {
    answer(502, body);
    await assert.rejects(request("x"), { status: 502, message: "Pollux answered 502" });
  }
  t.mock.method(globalThis, "fetch", async () => { throw new TypeError("network"); });
  await assert.rejects(request("x"), { status: 0, message: "Pollux cannot be reached" });
});
