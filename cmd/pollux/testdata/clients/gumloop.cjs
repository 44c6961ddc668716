// Flow runs with the vendor's SDK, which polls until DONE by itself. Its
// address is fixed; it is an axios instance, so that one line changes it.
const { GumloopClient } = require('gumloop');

async function main() {
  const { apiKey, baseURL, print, record, same, together } = await import('./common.mjs');

  console.log = () => {}; // the SDK prints where the run can be seen
  const client = (lifecycle) => {
    const gumloop = new GumloopClient({ apiKey, userId: 'user_2b9d71f0' });
    gumloop.api.defaults.baseURL = baseURL;
    gumloop.api.interceptors.request.use((config) => {
      if (config.method === 'post') config.headers.set('X-Sandbox-Lifecycle', lifecycle);
      config.responseType = 'arraybuffer'; // the bytes, before they become an object
      config.transformResponse = [(data) => data];
      return config;
    });
    gumloop.api.interceptors.response.use((response) => keep(record, response), (error) => {
      if (error.response) keep(record, error.response);
      throw error;
    });
    return gumloop;
  };

  // One client lets the SDK do it all, then a crowd polls a run as the SDK does.
  const outputs = await client('flow').runFlow('saved_1', { name: 'x' }, 150, 60_000);
  const { data: started } = await client('flow').api.post('/start_pipeline', { user_id: 'user_2b9d71f0', saved_item_id: 'saved_1' });
  const ended = await together(async () => {
    const mine = client();
    for (;;) {
      const run = await mine.getRunStatus(started.run_id);
      if (run.state === 'DONE' && run.outputs) return run;
      await mine.delay(150);
    }
  });
  const failed = await client('failed').runFlow('saved_1', {}, 150, 60_000).catch((err) => err);
  const missing = await client().getRunStatus('nosuchrun').catch((err) => err);

  print({
    outputs: Object.keys(outputs),
    task: started.run_id,
    state: same(ended.map(({ state }) => state)),
    result: same(ended.map((run) => run.outputs.final_result)),
    failed: failed.message,
    missing: { status: missing.response?.status, error: missing.name },
  });
}

/** Records the answer, and gives the SDK what it would have parsed itself. */
function keep(record, response) {
  const { config } = response;
  const url = new URL(config.url.replace(/^\//, ''), config.baseURL.replace(/\/?$/, '/'));
  for (const [name, value] of Object.entries(config.params ?? {})) url.searchParams.append(name, value);
  record(config.method.toUpperCase(), url, response.status, (name) => response.headers[name], response.data);
  response.data = JSON.parse(response.data.toString());
  return response;
}

main();
