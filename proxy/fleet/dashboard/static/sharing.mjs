// What there is to say of how replicas share a store.

import { count, duration } from "./format.mjs";

/** alone says whether this replica goes on without the store. */
export const alone = (fleet) => fleet.store_answers === false;

// sharing says in words how the replicas stand to each other, and whether that
// is trouble.
export function sharing(fleet) {
  const { notices_current: current, polls_leased: leased } = fleet;
  if (alone(fleet)) {
    return ["The store does not answer: this replica goes on alone.", true];
  }
  if (current === false) {
    return ["Notices of other replicas do not flow: what they find is looked up in the store.", true];
  }
  return [`${count(leased ?? 0)} polls of this replica were answered by what another one was asking.${hearing(fleet.replicas)}`, false];
}

// hearing says how long it takes until every replica hears of the others.
function hearing(replicas = []) {
  const lags = replicas.map((r) => r.notice_lag_seconds).filter(Number.isFinite);
  return lags.length ? ` Notices reach all within ${duration(Math.max(...lags))}.` : "";
}
