import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { probe } from "../../src/drill/prober.ts";
import type { ProbeCounts } from "../../src/model/drill.ts";
import { systemClock } from "../../src/runtime/clock.ts";

/** Counts until `enough`, of connections to a port of the loopback. */
async function counted(port: number, enough: (sum: ProbeCounts) => boolean): Promise<ProbeCounts> {
  const until = new AbortController();
  let [made, failed] = [0, 0];
  const failures: Record<string, number> = {};
  await probe(systemClock, { address: "127.0.0.1", port, rate: 100 }, until.signal, (counts) => {
    made += counts.made;
    failed += counts.failed;
    Object.assign(failures, counts.failures);
    if (enough({ made, failed, failures })) until.abort();
  });
  return { made, failed, failures };
}

async function listening(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((_, response) => response.end("here\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

test("what answers is made, what does not fails with its code", async () => {
  const { server, port } = await listening();
  const well = await counted(port, ({ made }) => made >= 20);
  assert(well.made >= 20);
  assert.deepEqual([well.failed, well.failures], [0, {}]);
  server.closeAllConnections();
  server.close();
  await once(server, "close");
  const refused = await counted(port, ({ failed }) => failed >= 20);
  assert.equal(refused.made, 0);
  assert.deepEqual(Object.keys(refused.failures), ["ECONNREFUSED"]);
});
