import assert from "node:assert/strict";
import test from "node:test";
import { sharing } from "../../static/sharing.mjs";

test("sharing: what does not work is said first", () => {
  const well = { store_answers: true, notices_current: true, polls_leased: 1204 };
  assert.deepEqual(sharing(well), ["1,204 polls of this replica were answered by what another one was asking.", false]);
  assert.match(sharing({ ...well, replicas: [{ notice_lag_seconds: 0.002 }, { notice_lag_seconds: 1.4 }, { notice_lag_seconds: null }] })[0], / within 1\.4 s\.$/);
  assert.match(sharing({ ...well, notices_current: false })[0], /do not flow/);
  const alone = sharing({ ...well, store_answers: false, notices_current: false });
  assert.match(alone[0], /goes on alone/);
  assert.equal(alone[1], true);
});
