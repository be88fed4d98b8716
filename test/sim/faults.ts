/** What goes wrong, and what changes meanwhile: drawn from a seed. */
import { below, type Random } from "../../src/runtime/random.ts";
import type { AgentProcess, MirrorProcess, World } from "./processes.ts";
import { SERVICES, type SimCluster } from "./sim-cluster.ts";
import type { Trace } from "./trace.ts";

export interface Stage {
  readonly world: World;
  readonly clusters: readonly SimCluster[];
  readonly mirrors: readonly MirrorProcess[];
  readonly agents: readonly AgentProcess[];
  readonly trace: Trace;
}

type Action = (stage: Stage, random: Random) => string;

function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[below(random, choices.length)];
  if (choice === undefined) throw new RangeError("nothing to pick from");
  return choice;
}

/** Pods 1..12 of a cluster exist or not; 6 of them at first. */
const PODS = 12;

const changeIp: Action = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  const number = 1 + below(random, PODS);
  if (below(random, 3) === 0) cluster.remove(cluster.ipKey(number));
  else cluster.putIp(number);
  return `ip ${number} of ${cluster.name}`;
};

const changeService: Action = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  const service = pick(random, SERVICES);
  const numbers = Array.from({ length: PODS }, (_, index) => index + 1).filter(() => below(random, 4) === 0);
  cluster.setPods(service, numbers);
  return `pods of ${service} of ${cluster.name}`;
};

const HOT_CHANGES = 20;
const HOT_INTERVAL_MS = 150;

/** W18: one key, again and again. */
const heat: Action = ({ world, clusters }, random) => {
  const cluster = pick(random, clusters);
  const number = 1 + below(random, PODS);
  for (let change = 0; change < HOT_CHANGES; change++) {
    world.clock.after(change * HOT_INTERVAL_MS, () => cluster.putIp(number));
  }
  return `hot ip ${number} of ${cluster.name}`;
};

const nonsense: Action = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  cluster.putNonsense(1 + below(random, PODS));
  return `nonsense of ${cluster.name}`;
};

const onEtcd =
  (name: string, act: (cluster: SimCluster) => void): Action =>
  ({ clusters }, random) => {
    const cluster = pick(random, clusters);
    act(cluster);
    return `${name} ${cluster.name}`;
  };

const LONGEST_EMPTY_MS = 5_000;

/** The data is gone; after a while the exporter has written some of it again, and nothing yet says that this is all. */
const lose: Action = ({ world, clusters }, random) => {
  const cluster = pick(random, clusters);
  cluster.lose();
  world.clock.after(random.next() * LONGEST_EMPTY_MS, () => {
    if (cluster.lost) cluster.refillSome();
  });
  return `lose ${cluster.name}`;
};

const killMirror: Action = ({ mirrors }, random) => {
  const index = below(random, mirrors.length);
  mirrors[index]?.kill();
  return `kill mirror ${index}`;
};

const startMirror: Action = ({ mirrors }, random) => {
  const index = below(random, mirrors.length);
  mirrors[index]?.start();
  return `start mirror ${index}`;
};

const killAgent: Action = ({ agents }, random) => {
  const index = below(random, agents.length);
  agents[index]?.kill();
  return `kill agent ${index}`;
};

const startAgent: Action = ({ agents }, random) => {
  const index = below(random, agents.length);
  agents[index]?.start();
  return `start agent ${index}`;
};

const makeLate: Action = ({ world }, random) => {
  world.lateShare = pick(random, [0, 0.1, 0.5]);
  return `late ${world.lateShare}`;
};

const unconfigure: Action = ({ mirrors, clusters }, random) => {
  const index = below(random, mirrors.length);
  const { name } = pick(random, clusters);
  mirrors[index]?.unconfigure(name);
  return `mirror ${index} loses the file of ${name}`;
};

const configure: Action = ({ mirrors, clusters }, random) => {
  const index = below(random, mirrors.length);
  const { name } = pick(random, clusters);
  mirrors[index]?.configure(name);
  return `mirror ${index} gets the file of ${name}`;
};

/** Action -> how often, relative to the others. */
const ACTIONS: readonly (readonly [string, number, Action])[] = [
  ["change-ip", 12, changeIp],
  ["change-service", 8, changeService],
  ["hot-key", 4, heat],
  ["nonsense", 2, nonsense],
  ["stop", 3, onEtcd("stop", ({ etcd }) => etcd.stop())],
  ["start", 4, onEtcd("start", ({ etcd }) => etcd.start())],
  ["pause", 3, onEtcd("pause", ({ etcd }) => etcd.pause())],
  ["resume", 4, onEtcd("resume", ({ etcd }) => etcd.resume())],
  ["cut", 2, onEtcd("cut", ({ etcd }) => etcd.cut())],
  ["cancel-watches", 1, onEtcd("cancel watches of", ({ etcd }) => etcd.cancelWatches("injected"))],
  ["compact", 3, onEtcd("compact", (cluster) => cluster.compact())],
  ["no-space", 1, onEtcd("no space at", ({ etcd }) => etcd.setNoSpace(true))],
  ["space", 2, onEtcd("space at", ({ etcd }) => etcd.setNoSpace(false))],
  ["lose", 2, lose],
  ["refill", 2, onEtcd("refill", (cluster) => cluster.refill())],
  ["kill-mirror", 2, killMirror],
  ["start-mirror", 4, startMirror],
  ["kill-agent", 2, killAgent],
  ["start-agent", 4, startAgent],
  ["late", 3, makeLate],
  ["unconfigure", 1, unconfigure],
  ["configure", 2, configure],
];

export const FAULT_NAMES = ACTIONS.map(([name]) => name);

/** Does one thing; returns its name. */
export function strike(stage: Stage, random: Random): string {
  const total = ACTIONS.reduce((sum, [, weight]) => sum + weight, 0);
  let at = random.next() * total;
  for (const [name, weight, action] of ACTIONS) {
    at -= weight;
    if (at >= 0) continue;
    stage.trace.note(`fault ${action(stage, random)}`);
    return name;
  }
  throw new RangeError("the weights do not add up");
}

/** Everything works again, and the exporters say everything they want to say. */
export function heal({ world, clusters, mirrors, agents, trace }: Stage): void {
  trace.note("heal");
  world.lateShare = 0;
  for (const cluster of clusters) {
    cluster.etcd.start();
    cluster.etcd.resume();
    cluster.etcd.setNoSpace(false);
    cluster.refill();
  }
  for (const mirror of mirrors) {
    for (const { name } of clusters) mirror.configure(name);
    mirror.start();
  }
  for (const agent of agents) agent.start();
}
