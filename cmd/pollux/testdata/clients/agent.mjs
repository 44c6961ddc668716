// An A2A agent made with the official SDK. It prints its port, then serves the
// protocol's versions 1.0 and 0.3 under /agent until its input ends.
//
// What a message says decides what becomes of the task: "ask" ends in a
// question, "fail" and "reject" as they say, "stop" waits to be cancelled,
// anything else in an answer. PACE is how long each of its steps takes, in ms.
import { randomUUID } from 'node:crypto';
import express from 'express';
import { Role, TaskState } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { agentCardHandler, restHandler, UserBuilder } from '@a2a-js/sdk/server/express';

const pace = Number(process.env.PACE ?? 500);
const cancelled = new Set();

class Agent {
  async execute(request, bus) {
    const { taskId, contextId } = request;
    const asked = request.userMessage.parts[0]?.content?.value ?? '';
    const say = (text) => ({
      messageId: randomUUID(), contextId, taskId, role: Role.ROLE_AGENT, parts: [part('text', text)],
      metadata: undefined, extensions: [], referenceTaskIds: [],
    });
    const move = (state, text) => bus.publish(AgentEvent.statusUpdate({
      taskId, contextId, metadata: undefined,
      status: { state, message: text && say(text), timestamp: new Date().toISOString() },
    }));
    const fresh = { id: taskId, contextId, artifacts: [], history: [request.userMessage], metadata: { origin: 'agent.mjs' } };
    bus.publish(AgentEvent.task({
      ...(request.task ?? fresh), // a task that was asked about goes on
      status: { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, timestamp: new Date().toISOString() },
    }));
    if (asked === 'reject') return move(TaskState.TASK_STATE_REJECTED, 'This agent does not do that.');
    await sleep(pace);
    move(TaskState.TASK_STATE_WORKING);
    await sleep(asked === 'stop' ? 60_000 : 4 * pace, () => cancelled.has(taskId));
    if (cancelled.has(taskId)) return move(TaskState.TASK_STATE_CANCELED);
    if (asked === 'ask') return move(TaskState.TASK_STATE_INPUT_REQUIRED, 'For which day?');
    if (asked === 'fail') return move(TaskState.TASK_STATE_FAILED, 'The search tool did not answer.');
    bus.publish(AgentEvent.artifactUpdate({
      taskId, contextId, append: false, lastChunk: true, metadata: undefined,
      artifact: {
        artifactId: randomUUID(), name: 'answer', description: '', metadata: undefined, extensions: [],
        parts: [part('text', `You said "${asked}". `), part('text', 'Grüße! 🦦'), part('data', { count: 3, price: 2.5 })],
      },
    }));
    move(TaskState.TASK_STATE_COMPLETED);
  }

  async cancelTask(taskId) {
    cancelled.add(taskId);
  }
}

function part($case, value) {
  return { content: { $case, value }, metadata: undefined, filename: '', mediaType: '' };
}

/** Waits, but not on after enough() holds. */
async function sleep(ms, enough = () => false) {
  for (const end = Date.now() + ms; Date.now() < end && !enough();) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(50, end - Date.now())));
  }
}

const app = express();
const server = app.listen(0, '127.0.0.1', () => {
  // The card names the address that clients are meant to use, which is not
  // always the one that the agent listens on.
  const url = process.env.PUBLIC_URL ?? `http://127.0.0.1:${server.address().port}/agent`;
  const over = (protocolVersion) => ({ url, protocolBinding: 'HTTP+JSON', protocolVersion, tenant: '' });
  const card = {
    name: 'Test agent', description: 'Answers.', version: '1.0.0', supportedInterfaces: [over('1.0'), over('0.3')],
    capabilities: { streaming: true, pushNotifications: false, extensions: [] },
    defaultInputModes: ['text/plain'], defaultOutputModes: ['text/plain'], skills: [],
    securitySchemes: {}, securityRequirements: [], signatures: [], provider: undefined,
  };
  const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Agent());
  app.use('/agent/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
  app.use('/agent', restHandler({ requestHandler, userBuilder: UserBuilder.noAuthentication, legacyCompat: { enabled: true } }));
  console.log(server.address().port);
});
process.stdin.resume().on('end', () => process.exit());
