// Drives every tool through the official TypeScript client, over HTTP and over
// standard input and output, and prints what came back as JSON.
// usage: client.mjs http URL CREDENTIAL | stdio PROGRAM CREDENTIAL, then RUNNING ENDED ENDLESS
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [kind, where, credential, running, ended, endless] = process.argv.slice(2);
const transport = kind === "http"
  ? new StreamableHTTPClientTransport(new URL(where), { requestInit: { headers: { Authorization: credential } } })
  : new StdioClientTransport({ command: where, args: ["mcp"], env: { ...process.env, POLLUX_CREDENTIAL: credential } });
const client = new Client({ name: "test", version: "1" });
await client.connect(transport);
const out = { revision: transport.protocolVersion ?? null, server: client.getServerVersion(), instructions: client.getInstructions()?.length > 0 };
out.tools = (await client.listTools()).tools.map((tool) => tool.name); // from here on results are checked against outputSchema
const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
let told = 0;
out.waited = await call("wait_for_tasks", { tasks: [running] }, { onprogress: () => told++, timeout: 60_000 });
out.told = told;
out.got = await call("get_task", { task: ended });
out.page = await call("get_task", { task: ended, include_output: true });
out.listed = await call("list_tasks", { limit: 5 });
out.lost = await call("wait_for_tasks", { tasks: [`${ended}-nobody`] });
out.wrong = await call("wait_for_tasks", { tasks: [] });
out.cancelled = await call("cancel_task", { task: ended });
const abort = new AbortController();
setTimeout(() => abort.abort(), 300);
out.aborted = await call("wait_for_tasks", { tasks: [endless] }, { signal: abort.signal }).then(() => "answered", () => "aborted");
console.log(JSON.stringify(out));
await client.close();
