// Agent responses with the vendor's SDK, whose schema refuses an answer with a
// null too many: a crowd polls one to its end, and a tool call goes out and
// its result back under the same task id.
import { Orq } from '@orq-ai/node';
import { HTTPClient } from '@orq-ai/node/lib/http.js';
import { apiKey, baseURL, print, recordingFetch, same, together, until } from './common.mjs';

const agentKey = 'my agent/x'; // travels as my%20agent%2Fx
const client = (lifecycle) => new Orq({
  apiKey, serverURL: baseURL, retryConfig: { strategy: 'none' },
  httpClient: new HTTPClient({ fetcher: recordingFetch(lifecycle && { 'X-Sandbox-Lifecycle': lifecycle }) }),
}).agents.responses;
const say = (text) => ({ background: true, message: { role: 'user', parts: [{ kind: 'text', text }] } });
const get = (responses, taskId) => responses.get({ agentKey, taskId });
const over = ({ status }) => status !== 'in_progress';

const created = await client('answer').create(say('Help me plan a microservices architecture.'), agentKey);
const ended = await together(() => {
  const mine = client();
  return until(over, () => get(mine, created.taskId));
});

const tools = client('tools');
const asked = await tools.create(say('What is on in Budapest?'), agentKey);
const calling = await until(over, () => get(tools, asked.taskId));
const call = calling.pendingToolCalls[0];
const continued = await client().create({
  background: true, taskId: asked.taskId,
  message: { role: 'tool', parts: [{ kind: 'tool_result', toolCallId: call.id, result: { events: ['Sziget'] } }] },
}, agentKey);
// At once: the answer from before the result was sent must be gone.
const resumed = await get(tools, asked.taskId);
const finished = await until(over, () => get(tools, asked.taskId));

const missing = await get(tools, 'nosuchtask').catch((err) => err);

print({
  task: created.taskId,
  status: same(ended.map(({ status }) => status)),
  finish_reason: same(ended.map(({ finishReason }) => finishReason)),
  text: same(ended.map(({ output }) => output.at(-1).parts[0].text)),
  calls: calling.finishReason, call: call.function.name,
  same_task: continued.taskId === asked.taskId, stale: resumed.finishReason === calling.finishReason,
  finished: finished.status, finished_reason: finished.finishReason,
  missing: { status: missing.statusCode, error: missing.constructor.name },
});
