import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "../../src/runtime/metrics.ts";

test("metrics are counted per registry and printed in the Prometheus format", async () => {
  const metrics = new Metrics();
  metrics.counter("bulkhead_rejected_total", "Refused values.", ["reason"]).add(2, { reason: "malformed" });
  metrics.counter("bulkhead_rejected_total", "Refused values.", ["reason"]).add(1, { reason: "malformed" });
  metrics.gauge("bulkhead_queue", "Waiting writes.").set(7);
  metrics.histogram("bulkhead_txn_seconds", "Txn time.", [0.1, 1]).observe(0.5);
  const text = await metrics.text();
  assert.match(text, /bulkhead_rejected_total\{reason="malformed"\} 3/);
  assert.match(text, /bulkhead_queue 7/);
  assert.match(text, /bulkhead_txn_seconds_bucket\{le="1"\} 1/);
  assert.doesNotMatch(await new Metrics().text(), /bulkhead/);
});
