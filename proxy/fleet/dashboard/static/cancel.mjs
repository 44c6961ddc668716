// Asking upstreams to cancel tasks, after saying what exactly they will be asked.

import { cancelURL, request, upstreamOf } from "./api.mjs";
import { askCredential, placeOf } from "./credentialform.mjs";
import { headerNameFor, headersFor } from "./credentials.mjs";
import { h } from "./dom.mjs";
import { count } from "./format.mjs";
import { confirmed, setYes, toast } from "./notice.mjs";
import { upstream } from "./upstreamlist.mjs";

const AT_ONCE = 4; // requests under way

/** cancellable says whether the upstream of a task takes such a request. */
export const cancellable = (ref) => upstream(upstreamOf(ref))?.cancel !== null;

/** cancelTasks asks the upstreams to cancel tasks, if that is confirmed. It
 * resolves with what was refused, [{ref, err}], and null if nothing was asked. */
export async function cancelTasks(refs) {
  const byUpstream = Object.entries(Object.groupBy(refs, upstreamOf));
  const ready = () => refs.filter((ref) => !lacksCredential(upstreamOf(ref)));
  const what = h("div", { class: "asks" });
  const draw = async () => {
    const asks = await Promise.all(byUpstream.map(([name, some]) => ask(name, some.length, draw)));
    what.replaceChildren(...asks, h("p", { class: "muted" }, "What they have cost so far is spent."));
    setYes(`Cancel ${numbered(ready().length)}`, ready().length > 0);
  };
  await draw();
  if (!(await confirmed(`Cancel ${numbered(refs.length)}?`, what))) return null;
  const asked = ready();
  const refused = await send(asked);
  if (asked.length > refused.length) toast(`Asked to cancel ${numbered(asked.length - refused.length)}`);
  return refused;
}

const numbered = (n) => (n === 1 ? "1 task" : `${count(n)} tasks`);

const lacksCredential = (name) => Boolean(upstream(name)?.credential) && headerNameFor(name) === "";

async function ask(name, n, changed) {
  const line = h("p", null, h("strong", null, h("bdi", null, name)), ` is asked ${n === 1 ? "once" : `${count(n)} times`}: `,
    h("bdi", { class: "code" }, upstream(name)?.cancel ?? "to cancel"));
  if (!lacksCredential(name)) return line;
  return h("div", null, line, askCredential(name, await placeOf(name, ""), changed));
}

async function send(refs) {
  const refused = [];
  const left = [...refs];
  const work = async () => {
    for (let ref = left.shift(); ref !== undefined; ref = left.shift()) {
      try {
        await request(cancelURL(ref), { method: "POST", headers: headersFor(upstreamOf(ref)) });
      } catch (err) {
        refused.push({ ref, err });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return refused;
}

/** refusals says which tasks were refused, and why, alike reasons together. */
export function refusals(refused) {
  return h("div", { class: "asks" }, Object.entries(Object.groupBy(refused, ({ err }) => err.message)).map(([why, some]) =>
    h("div", null, h("p", null, h("strong", null, numbered(some.length)), `: ${why}`),
      h("ul", { class: "code" }, some.slice(0, 5).map(({ ref }) => h("li", null, h("bdi", null, ref))), some.length > 5 ? h("li", null, `and ${some.length - 5} more`) : null))));
}
