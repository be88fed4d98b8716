import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { probe } from "../../src/drill/prober.ts";
import type { ProbeCounts } from "../../src/model/drill.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

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

/** What comes of connections that nobody answers, until `meanwhile` is over; the first one is answered then. */
async function answeredAfter(meanwhile: (clock: VirtualClock) => void | Promise<void>): Promise<ProbeCounts> {
  const asked = Promise.withResolvers<ServerResponse>();
  const server = createServer((_, response) => asked.resolve(response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const clock = new VirtualClock();
  const until = new AbortController();
  let [made, failed] = [0, 0];
  const probing = probe(clock, { address: "127.0.0.1", port, rate: 1 }, until.signal, (counts) => {
    made += counts.made;
    failed += counts.failed;
  });
  await clock.advance(1_000);
  const response = await asked.promise;
  await meanwhile(clock);
  await clock.advance(0);
  if (!response.closed) {
    response.end("here\n");
    await once(response, "close");
  }
  await clock.advance(1_000);
  until.abort();
  await clock.settle(probing);
  server.closeAllConnections();
  server.close();
  return { made, failed, failures: {} };
}

test("time in which the prober stands still is none in which nobody answered", async () => {
  const stood = await answeredAfter((clock) => clock.stall(2_500));
  assert.deepEqual([stood.made, stood.failed], [1, 0]);
  const ran = await answeredAfter((clock) => clock.advance(1_600));
  assert.deepEqual([ran.made, ran.failed], [0, 1]);
});
