import assert from "node:assert/strict";
import { test } from "node:test";
import { VerdictCounters } from "../../src/datapath/verdict-counters.ts";
import { MemoryMap } from "../../src/kernel/memory.ts";
import {
  encodeVerdictCounterKey,
  encodeVerdictCounterValue,
  VERDICT_COUNTER_MAP,
} from "../../src/maps/verdict-counter-map.ts";
import { DROP_REASONS, type DropReason, VERDICTS, type Verdict } from "../../src/model/flow.ts";
import { Metrics } from "../../src/runtime/metrics.ts";

const map = new MemoryMap(VERDICT_COUNTER_MAP, 100);
const count = (verdict: Verdict, reason: DropReason, direction: number, packets: bigint) =>
  map.update({
    count: 1,
    keys: encodeVerdictCounterKey({
      ...{ verdict: VERDICTS.indexOf(verdict), reason: DROP_REASONS.indexOf(reason) },
      direction,
    }),
    values: encodeVerdictCounterValue({ packets, bytes: packets * 100n }),
  });

test("packets become a metric that only grows, and drops by reason; audited packets are no drops", async () => {
  const metrics = new Metrics();
  const counters = new VerdictCounters(map, metrics);
  await count("dropped", "policy-denied", 0, 3n);
  await count("dropped", "policy-denied", 1, 4n);
  await count("audited", "policy-denied", 0, 9n);
  await count("allowed", "forwarded", 1, 50n);
  await counters.poll();
  assert.deepEqual(
    Object.entries(counters.drops()).filter(([, packets]) => packets > 0),
    [["policy-denied", 7]],
  );
  assert.equal(counters.audited(), 9);
  await count("dropped", "policy-denied", 0, 5n);
  await counters.poll();
  await counters.poll();
  const text = await metrics.text();
  assert.match(text, /packets_total\{verdict="dropped",reason="policy-denied",direction="ingress"\} 5\n/);
  assert.match(text, /bytes_total\{verdict="allowed",reason="forwarded",direction="egress"\} 5000\n/);
  assert.equal(counters.drops()["policy-denied"], 9);
  assert.deepEqual(Object.keys(counters.drops()), DROP_REASONS);
});
