/** An agent over a local etcd, a kernel and a network in memory, on a virtual clock. */
import { MemoryDisk } from "../../../src/disk/memory.ts";
import type { Kernel } from "../../../src/kernel/door.ts";
import { CrashError } from "../../../src/kernel/faulty.ts";
import { MemoryKernel } from "../../../src/kernel/memory.ts";
import { MemoryNetwork } from "../../../src/kernel/memory-network.ts";
import { MemorySockets } from "../../../src/kernel/memory-sockets.ts";
import { SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { MemoryDialer } from "../../../src/probe/memory-dialer.ts";
import { Agent } from "../../../src/programs/agent/agent.ts";
import { agentSettings } from "../../../src/programs/agent/settings.ts";
import { silentLogger } from "../../../src/runtime/log.ts";
import { Metrics } from "../../../src/runtime/metrics.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { LocalEtcd } from "../../ingest/stage.ts";
import { OSAKA, OWN, VIRGINIA } from "../../tables/world.ts";

export const settings = agentSettings.parse({
  cluster: OWN.name,
  clusterId: OWN.id,
  node: "n1",
  etcdConfig: "unused",
  cgroup: "/cgroup",
  bpfDir: "/bpf/n1",
  progressIntervalMs: 100,
  progressTimeoutMs: 500,
});

export function world() {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.cluster(VIRGINIA, "10.3.0");
  const disk = new MemoryDisk();
  disk.makeDirectory(settings.snapshotDir);
  const kernel = new MemoryKernel(SOCK_LB_OBJECT.programs);
  const node = { network: new MemoryNetwork(), sockets: new MemorySockets() };
  return { local, disk, kernel, ...node, dialer: new MemoryDialer(local.clock) };
}

export async function start(
  {
    local,
    kernel,
    network,
    sockets,
    disk,
    dialer,
  }: Omit<ReturnType<typeof world>, "kernel"> & { readonly kernel: Kernel },
  changed: Partial<typeof settings> = {},
) {
  const over = new AbortController();
  const metrics = new Metrics();
  const doors = {
    kernel,
    network,
    sockets,
    disk,
    bootWallMs: () => 0,
    kv: local.etcd.client(),
    dialer,
    clock: local.clock,
    random: seededRandom(3),
    log: silentLogger,
    metrics,
  };
  const agent = await local.clock.settle(Agent.start({ ...settings, ...changed }, doors, over.signal));
  // A process that is killed on purpose is over: that is no failure of it.
  const running = agent.run(over.signal).catch((error: unknown) => {
    if (!(error instanceof CrashError)) throw error;
  });
  await local.clock.advance(500);
  return {
    agent,
    metrics,
    async crash() {
      over.abort();
      await local.clock.settle(running);
    },
  };
}
