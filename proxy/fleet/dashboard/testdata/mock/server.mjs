// A server with the endpoints that the dashboard uses, over a simulated fleet.
//
//   node testdata/mock/server.mjs [--port 8099] [--prefix /pollux] [--login] [--part] [--caller] [--hostile] [--tasks 180]
//
// --login asks for a Pollux key, which is "demo"; with --part that one lacks the
// scope fleet; --caller refuses tasks without an upstream credential; --hostile
// fills every string with markup.

import { readFileSync } from "node:fs";
import { createServer, STATUS_CODES } from "node:http";
import { extname } from "node:path";
import { parseArgs } from "node:util";
import { Fleet } from "./fleet.mjs";

const { values: options } = parseArgs({ options: {
  port: { type: "string", default: "8099" }, prefix: { type: "string", default: "" },
  login: { type: "boolean" }, part: { type: "boolean" }, caller: { type: "boolean" }, hostile: { type: "boolean" }, tasks: { type: "string" },
} });

const here = new URL("../../", import.meta.url);
const csp = [...readFileSync(new URL("dashboard.go", here), "utf8").match(/const CSP = ([^]*?)\n\n/)[1].matchAll(/"([^"]*)"/g)].map((m) => m[1]).join("");
const types = { ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml" };
const fleet = new Fleet({ caller: options.caller, tasks: options.tasks && Number(options.tasks), hostile: options.hostile ? `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>` : "" });
let calm = false; // nothing happens to tasks
setInterval(() => calm || fleet.tick(), 1000);

function file(response, name) {
  let body;
  try {
    body = readFileSync(new URL(`static/${name}`, here));
  } catch {
    return problem(response, 404, "about:blank", "no such file");
  }
  response.writeHead(200, { "Content-Type": types[extname(name)], "Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache" });
  response.end(body);
}

function json(response, body, headers = {}) {
  response.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function problem(response, status, type, detail) {
  response.writeHead(status, { "Content-Type": "application/problem+json", "Cache-Control": "no-store" });
  response.end(JSON.stringify({ type, title: STATUS_CODES[status], status, detail }));
}

// stream sends what subscribe hands to it, and comments in between.
function stream(request, response, subscribe) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const send = (event, data, id) => response.write(`${id ? `id: ${id}\n` : ""}${event ? `event: ${event}\n` : ""}data: ${data}\n\n`);
  const beat = setInterval(() => response.write(":\n\n"), 15_000);
  const stop = subscribe(send, () => response.end());
  request.on("close", () => {
    clearInterval(beat);
    stop();
  });
}

const wantsStream = (request) => (request.headers.accept ?? "").includes("text/event-stream");

function listen(event, f) {
  fleet.on(event, f);
  return () => fleet.off(event, f);
}

function serveFleet(request, response) {
  if (!wantsStream(request)) return json(response, fleet.fleet());
  stream(request, response, (send) => {
    send("fleet", JSON.stringify(fleet.fleet()));
    return listen("fleet", (f) => send("fleet", JSON.stringify(f)));
  });
}

function serveList(request, response, query) {
  const limit = Number(query.limit ?? 50);
  const from = Number(query.cursor ?? 0);
  const rows = fleet.rows(query);
  if (!wantsStream(request)) {
    const next = from + limit < rows.length ? String(from + limit) : null;
    return json(response, { object: "list", data: rows.slice(from, from + limit), next_cursor: next });
  }
  stream(request, response, (send) => {
    for (const row of rows.slice(0, limit)) send("row", JSON.stringify(row));
    return listen("row", (row) => send("row", JSON.stringify(row)));
  });
}

// What was asked of webhooks, and to be cancelled, is remembered for /mock/asked.
const asked = [];

function serveWebhooks(request, response, rest, query) {
  const [, id, action] = rest.match(/^\/([^:]+)(:\w+)?$/) ?? [];
  if (request.method !== "GET") {
    asked.push(`${request.method} ${id}${action ?? ""}`);
    if (request.method === "DELETE") fleet.endWebhook(id);
    return response.writeHead(action ? 202 : 204).end();
  }
  if (id) return fleet.webhook(id) ? json(response, fleet.webhook(id)) : problem(response, 404, "about:blank", "there is no such webhook");
  const rows = fleet.webhooks();
  const limit = Number(query.limit ?? 50);
  json(response, { object: "list", data: rows.slice(0, limit), next_cursor: rows.length > limit ? "more" : null });
}

function serveTask(request, response, ref, query) {
  if (options.caller && request.headers.authorization === "Bearer wrong") return problem(response, 404, "/problems/task-not-found", "the upstream has no such task");
  if (options.caller && !request.headers.authorization) return problem(response, 401, "/problems/unauthorized", "this upstream needs the caller's credential");
  if (ref.endsWith(":cancel")) {
    asked.push(`cancel ${ref.slice(0, -":cancel".length)}`);
    return ref.startsWith("orq/") ? problem(response, 409, "/problems/upstream-rejected", "it is too late") : response.writeHead(202).end();
  }
  if (request.method === "DELETE") {
    fleet.forget(ref);
    return response.writeHead(204).end();
  }
  const task = fleet.task(ref);
  if (!task) return problem(response, 404, "/problems/task-not-found", "the upstream has no such task");
  const include = (query.include ?? "").split(",");
  const tag = () => `${task.history.length}-${task.updated}`;
  const ended = () => task.completed !== undefined;
  if (!wantsStream(request)) return json(response, fleet.document(task, include), { ETag: `W/"${tag()}"`, Age: "0", "Cache-Status": "pollux; fwd=stale; stored" });
  if (ended() && request.headers["last-event-id"] === tag()) return response.writeHead(204).end();
  stream(request, response, (send, end) => {
    send("", fleet.document(task, include), tag());
    if (ended()) end();
    return listen("row", (row) => {
      if (row.ref !== ref) return;
      send("", fleet.document(task, include), tag());
      if (ended()) end();
    });
  });
}

const loggedIn = (request) => !options.login || (request.headers.cookie ?? "").includes("pollux_session=yes");

async function serveSession(request, response) {
  if (request.method !== "GET" && request.headers["x-pollux-csrf"] !== "1") return problem(response, 403, "/problems/forbidden", "X-Pollux-CSRF is missing");
  const cookie = (value, age) => ({ "Set-Cookie": `pollux_session=${value}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${age}` });
  if (request.method === "DELETE") return response.writeHead(204, cookie("", 0)).end();
  if (request.method === "POST") {
    let body = "";
    for await (const piece of request) body += piece;
    if (JSON.parse(body).key !== "demo") return problem(response, 401, "/problems/unauthorized", "the Pollux key is not known");
    return response.writeHead(204, cookie("yes", 3600)).end();
  }
  const inside = options.login && loggedIn(request);
  json(response, { object: "session", login_required: Boolean(options.login), client: inside ? "demo" : null, version: "v1.2.3", scopes: inside || !options.login ? ["read", "submit", "webhooks", ...(options.part ? [] : ["fleet"])] : [], ...(options.caller ? { samples: ["team-1"] } : {}) });
}

createServer((request, response) => {
  const url = new URL(request.url, "http://mock");
  if (!url.pathname.startsWith(options.prefix)) return problem(response, 404, "about:blank", "not here");
  const path = url.pathname.slice(options.prefix.length);
  const query = Object.fromEntries(url.searchParams);
  if (path === "/dashboard") return file(response, "index.html");
  if (path.startsWith("/dashboard/")) return file(response, path.slice("/dashboard/".length).replaceAll("..", ""));
  if (path === "/mock/dead") {
    fleet.dead = query.upstream;
    return response.writeHead(204).end();
  }
  if (path === "/mock/calm") {
    calm = query.on === "yes";
    return response.writeHead(204).end();
  }
  if (path === "/mock/alone") {
    fleet.alone = query.on === "yes";
    return response.writeHead(204).end();
  }
  if (path === "/mock/fail") {
    fleet.fail(query.ref);
    return response.writeHead(204).end();
  }
  if (path === "/mock/asked") return json(response, asked);
  if (path === "/v1/session") return serveSession(request, response);
  if (!loggedIn(request)) return problem(response, 401, "/problems/unauthorized", "a Pollux key is needed");
  if (path === "/v1/fleet") return serveFleet(request, response);
  if (path === "/v1/upstreams") return json(response, { object: "list", data: fleet.upstreams() });
  if (path.startsWith("/v1/webhooks")) return serveWebhooks(request, response, path.slice("/v1/webhooks".length), query);
  if (path === "/v1/tasks") return serveList(request, response, query);
  if (path.startsWith("/v1/tasks/")) return serveTask(request, response, path.slice("/v1/tasks/".length), query);
  problem(response, 404, "about:blank", "no such path");
}).listen(Number(options.port), "127.0.0.1", function () {
  console.log(`http://127.0.0.1:${this.address().port}${options.prefix}/dashboard`);
});
