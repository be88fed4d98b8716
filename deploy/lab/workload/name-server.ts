/**
 * The name server of a cluster's containers: what CoreDNS is to pods.
 *   name-server.ts CLUSTER ETCD_CONFIG PORT
 */
import { createSocket } from "node:dgram";
import { openLocalEtcd } from "../../../src/access/etcd.ts";
import { systemDisk } from "../../../src/disk/system.ts";
import { followForever } from "../../../src/follow/source.ts";
import { connectEtcd } from "../../../src/kv/etcd.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { ServiceNames } from "./service-names.ts";

const ETCD = { etcdTimeoutMs: 5_000, etcdKeepaliveMs: 10_000, etcdKeepaliveTimeoutMs: 5_000 };

const [cluster = "", etcdConfig = "", port = "53"] = process.argv.slice(2);
const until = new AbortController();
const names = new ServiceNames(cluster);
const socket = createSocket("udp4");
socket.on("message", (message, from) => {
  const answer = names.answer(message);
  if (answer !== undefined) socket.send(answer, from.port, from.address);
});
socket.bind(Number(port));
const stop = (): void => {
  until.abort();
  socket.close();
};
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);

const kv = await openLocalEtcd({ disk: systemDisk, connect: connectEtcd }, { ...ETCD, etcdConfig });
const watching = { pageSize: 1_000, progressIntervalMs: 5_000, progressTimeoutMs: 15_000 };
const options = { ...watching, kv, clock: systemClock, random: systemRandom, signal: until.signal };
await followForever({ ...options, backoff: { baseMs: 200, capMs: 2_000 } }, names.ranges, names);
kv.close();
