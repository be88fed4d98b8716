/** The agent over its real doors: libbpf, the local etcd, an admin socket, probes. */
import { join } from "node:path";
import { Expiry } from "../../access/expiry.ts";
import { FollowedEtcd } from "../../access/followed-etcd.ts";
import { openNats } from "../../access/nats.ts";
import { connectNats } from "../../bus/nats.ts";
import { systemDisk } from "../../disk/system.ts";
import { EVENTS_PATH } from "../../events/read.ts";
import { Telling } from "../../events/telling.ts";
import { FLOWS_PATH } from "../../flows/flows.ts";
import { cgroupDirectory } from "../../kernel/cgroup.ts";
import { createLibbpfKernel } from "../../kernel/libbpf.ts";
import { openNetwork } from "../../kernel/network.ts";
import { nodeSockets } from "../../kernel/node-sockets.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import { EXPLAIN_PATH } from "../../model/explain.ts";
import { MAPS_PATH, PEERS_PATH } from "../../model/status.ts";
import { systemDialer } from "../../probe/system-dialer.ts";
import { createBootWallMs, systemClock } from "../../runtime/clock.ts";
import { createLogger } from "../../runtime/log.ts";
import { Metrics } from "../../runtime/metrics.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { Answer, Stream } from "../../serve/routes.ts";
import { serve } from "../../serve/serve.ts";
import { Agent, type AgentDoors } from "./agent.ts";
import { preflight } from "./preflight.ts";
import type { AgentSettings } from "./settings.ts";

/** Runs until the signal aborts. Bad input is a UserError before anything was changed. */
export async function runAgent(given: AgentSettings, signal: AbortSignal): Promise<void> {
  const settings = { ...given, cgroup: cgroupDirectory(given.cgroup) };
  preflight(settings);
  await systemDisk.mkdir(settings.snapshotDir).catch(() => {
    // Whoever writes the first snapshot says so: services do not wait for it.
  });
  const { kv, ...doors } = await openDoors(settings, signal);
  const telling = await openTelling(settings, { ...doors, kv });
  const { clock, metrics, disk } = doors;
  const expiry = await Expiry.start({ disk, clock, metrics, signal, settings });
  let agent: Agent | undefined;
  const served = await serve({
    status: () => ({ ...expiry.in(kv.in(started(agent).status())), ...telling.status() }),
    ready: () => agent?.ready() ?? { ready: false, detail: "loading the eBPF objects" },
    metrics: doors.metrics,
    adminSocket: join(settings.runDir, settings.cluster, `agent-${settings.node}.sock`),
    listen: settings.listen,
    answers: new Map<string, Answer>([
      [EXPLAIN_PATH, (query) => started(agent).explain(query)],
      [MAPS_PATH, () => started(agent).maps()],
      [PEERS_PATH, () => started(agent).peers()],
    ]),
    streams: new Map<string, Stream>([
      [FLOWS_PATH, (query, asking) => started(agent).flows(query, asking)],
      [EVENTS_PATH, (query, asking) => telling.lines(query, asking)],
    ]),
  });
  try {
    const running = await Agent.start(settings, { ...doors, kv }, signal);
    agent = running;
    telling.start(() => expiry.in(kv.in({ problems: running.problems(), health: running.health() })), signal);
    await running.run(signal);
  } finally {
    kv.close();
    doors.network.close();
    await served.close();
  }
}

function started(agent: Agent | undefined): Agent {
  if (agent === undefined) throw new Error("the agent is still loading the eBPF objects");
  return agent;
}

async function openTelling(settings: AgentSettings, doors: AgentDoors): Promise<Telling> {
  const emitter = { cluster: settings.cluster, program: "agent", instance: settings.node };
  const bus = await openNats({ disk: systemDisk, connect: connectNats }, settings, emitter);
  return new Telling({ ...doors, bus, emitter, settings });
}

interface OpenDoors extends AgentDoors {
  readonly kv: FollowedEtcd;
}

async function openDoors(settings: AgentSettings, signal: AbortSignal): Promise<OpenDoors> {
  const { cluster, logLevel } = settings;
  const metrics = new Metrics();
  metrics.collectProcess();
  const kv = await FollowedEtcd.open({ disk: systemDisk, connect: connectEtcd, clock: systemClock }, settings, signal);
  return {
    disk: systemDisk,
    kernel: createLibbpfKernel({ clock: systemClock }),
    network: openNetwork(),
    sockets: nodeSockets(settings.netnsDirs),
    kv,
    dialer: systemDialer(systemClock),
    clock: systemClock,
    bootWallMs: createBootWallMs(),
    random: systemRandom,
    log: createLogger({ program: "agent", cluster, level: logLevel }),
    metrics,
  };
}
