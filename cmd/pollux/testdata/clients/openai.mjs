// Responses in background mode with the vendor's SDK: a crowd polls one to its
// end, another is cancelled, one that does not exist is refused.
import OpenAI from 'openai';
import { apiKey, baseURL, print, recordingFetch, same, together, until } from './common.mjs';

const client = (lifecycle) => new OpenAI({
  apiKey, baseURL, maxRetries: 0, fetch: recordingFetch({ 'X-Sandbox-Lifecycle': lifecycle }),
});
const create = (openai) => openai.responses.create({ model: 'gpt-5.1', input: 'Tell me about otters.', background: true });
const over = ({ status }) => status !== 'queued' && status !== 'in_progress';

const created = await create(client('answer'));
const ended = await together(() => {
  const mine = client();
  return until(over, () => mine.responses.retrieve(created.id));
});

const openai = client('stuck');
const running = await create(openai);
await openai.responses.retrieve(running.id);
const cancelled = await openai.responses.cancel(running.id);
const after = await openai.responses.retrieve(running.id);

const missing = await openai.responses.retrieve('resp_nosuch').catch((err) => err);

// What changes the answer goes past the cache.
const detailed = await openai.responses.retrieve(created.id, { include: ['reasoning.encrypted_content'] });

print({
  task: created.id, created: created.status,
  status: same(ended.map(({ status }) => status)),
  text: same(ended.map((response) => response.output_text)),
  model: same(ended.map(({ model }) => model)),
  cancelled: cancelled.status, after_cancel: after.status,
  missing: { status: missing.status, error: missing.constructor.name, type: missing.type },
  detailed: detailed.status,
});
