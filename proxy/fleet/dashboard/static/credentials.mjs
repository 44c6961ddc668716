// Upstream credentials that somebody typed in to read tasks whose answers
// belong to a credential. They live as long as the page, in memory only, and go
// out with requests about tasks of their own upstream and nothing else.

const typed = new Map();

export function remember(upstream, header, value) {
  typed.set(upstream, { header, value });
}

export const forgetAll = () => typed.clear();

/** headersFor is what a request about a task of the upstream carries. */
export function headersFor(upstream) {
  const credential = typed.get(upstream);
  return credential ? { [credential.header]: credential.value } : {};
}

/** headerNameFor is the name alone, "" if nothing was typed. */
export const headerNameFor = (upstream) => typed.get(upstream)?.header ?? "";
