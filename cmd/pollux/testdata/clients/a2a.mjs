// A2A tasks with the official client, against an agent made with the official
// server: a crowd polls one to its end, a question is answered, a task is
// cancelled. The client finds Pollux by the agent's card.
import { randomUUID } from 'node:crypto';
import { Role, TaskState } from '@a2a-js/sdk';
import { ClientFactory, DefaultAgentCardResolver, RestTransportFactory } from '@a2a-js/sdk/client';
import { apiKey, baseURL, print, recordingFetch, same, together, until } from './common.mjs';

const serviceParameters = { Authorization: `Bearer ${apiKey}` };

async function client() {
  const card = await new DefaultAgentCardResolver().resolve(`${baseURL}/.well-known/agent-card.json`, '');
  for (const agentInterface of card.supportedInterfaces) agentInterface.url = baseURL;
  const transport = new RestTransportFactory({ fetchImpl: recordingFetch() });
  return new ClientFactory({ transports: [transport] }).createFromAgentCard(card);
}

const send = (agent, text, taskId = '', contextId = '') => agent.sendMessage({
  tenant: '', metadata: undefined,
  message: {
    messageId: randomUUID(), taskId, contextId, role: Role.ROLE_USER, metadata: undefined, extensions: [], referenceTaskIds: [],
    parts: [{ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' }],
  },
  configuration: { acceptedOutputModes: [], taskPushNotificationConfig: undefined, historyLength: undefined, returnImmediately: true },
}, { serviceParameters });
const get = (agent, id) => agent.getTask({ tenant: '', id, historyLength: undefined }, { serviceParameters });
const state = (task) => TaskState[task.status.state];
const busy = [TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING];
const settled = (task) => !busy.includes(task.status.state);

const agent = await client();
const created = await send(agent, 'hello');
const ended = await together(async () => {
  const mine = await client();
  return until(settled, () => get(mine, created.id));
});

const asked = await send(agent, 'ask');
const question = await until(settled, () => get(agent, asked.id));
await send(agent, 'on Friday', asked.id, asked.contextId);
// At once: the question must be gone from the cache.
const resumed = await get(agent, asked.id);
const answered = await until(settled, () => get(agent, asked.id));

const stopped = await send(agent, 'stop');
await get(agent, stopped.id);
const cancelled = await agent.cancelTask({ tenant: '', id: stopped.id, metadata: undefined }, { serviceParameters });
const after = await get(agent, stopped.id);

const missing = await get(agent, 'nosuchtask').catch((err) => err);

const text = ({ artifacts }) => artifacts.flatMap(({ parts }) => parts)
  .filter(({ content }) => content.$case === 'text').map(({ content }) => content.value).join('');

print({
  task: created.id, created: state(created),
  state: same(ended.map(state)), text: same(ended.map(text)),
  question: state(question), asks: question.status.message.parts[0].content.value,
  stale: state(resumed) === state(question), answered: state(answered), answer: text(answered),
  cancelled: state(cancelled), after_cancel: state(after),
  missing: missing.constructor.name,
});
