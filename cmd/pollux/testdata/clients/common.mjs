// What the clients share. Each is told by its environment where the upstream
// is (BASE_URL) and which key to send (API_KEY), and prints one JSON object:
// what its SDK made of the answers (result), and the answers themselves, byte
// for byte as they reached the SDK (exchanges).

export const baseURL = process.env.BASE_URL;
export const apiKey = process.env.API_KEY;

/** How many clients poll one task at the same time. */
export const crowd = Number(process.env.CROWD ?? 20);

const exchanges = [];

/** Records one answer; the body as base64, so that no byte is lost. */
export function record(method, url, status, header, body) {
  exchanges.push({
    method, url: String(url), status, body: Buffer.from(body).toString('base64'),
    cache_status: header('cache-status') ?? '', age: header('age') ?? '',
  });
}

/** A fetch that records what it returns, with headers added to requests that create. */
export function recordingFetch(createHeaders = {}) {
  return async (input, init) => {
    const request = new Request(input, init);
    if (request.method === 'POST') {
      for (const [name, value] of Object.entries(createHeaders)) request.headers.set(name, value);
    }
    const response = await fetch(request);
    const body = new Uint8Array(await response.clone().arrayBuffer());
    record(request.method, request.url, response.status, (name) => response.headers.get(name), body);
    return response;
  };
}

/** Calls poll until done holds for what it returns. */
export async function until(done, poll, pause = 150) {
  for (;;) {
    const state = await poll();
    if (done(state)) return state;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** Runs one of each of the crowd, and returns what they all return. */
export function together(one) {
  return Promise.all(Array.from({ length: crowd }, (_, i) => one(i)));
}

/** The one value that all have, or a failure that shows the others. */
export function same(values) {
  const distinct = [...new Set(values.map((value) => JSON.stringify(value)))];
  if (distinct.length !== 1) throw new Error(`clients differ: ${distinct.join(' and ')}`);
  return values[0];
}

export function print(result) {
  process.stdout.write(JSON.stringify({ result, exchanges }) + '\n');
}
