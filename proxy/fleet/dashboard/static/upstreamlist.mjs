// What GET /v1/upstreams said last, for whoever needs to know of one.

import { endpoint, getJSON } from "./api.mjs";

let byName = new Map(); // empty while nothing is known, or nobody may be told

/** readUpstreams asks anew, and resolves with all of them. */
export async function readUpstreams(signal) {
  const { data } = await getJSON(endpoint("v1/upstreams"), { signal });
  byName = new Map(data.map((u) => [u.name, u]));
  return data;
}

/** upstream is one as the API has it, undefined if it is not known. */
export const upstream = (name) => byName.get(name);

/** knows says whether there is such an upstream; where nobody may be told, any
 * may be. */
export const knows = (name) => byName.size === 0 || byName.has(name);
