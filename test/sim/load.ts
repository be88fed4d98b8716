/** Ordinary changes: what goes on all the time, whatever breaks. */
import { below, type Random } from "../../src/runtime/random.ts";
import { LIMITS } from "./limits.ts";
import { PODS, SERVICES } from "./sim-cluster.ts";
import type { Stage } from "./stage.ts";

const LONGEST_PAUSE_MS = 2_500;
/** Identities 1..3 of a cluster come and go; nobody uses them. */
const SPARE_IDENTITIES = 3;

/** A node that returns sooner is a fault of its own: X02. */
const NODE_RETURNS_MS = LIMITS.guardWindowMs + 5_000;

type Change = (stage: Stage, random: Random) => void;

export function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[below(random, choices.length)];
  if (choice === undefined) throw new RangeError("nothing to pick from");
  return choice;
}

const changeIp: Change = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  const number = 1 + below(random, PODS);
  if (below(random, 3) === 0) cluster.remove(cluster.ipKey(number));
  else if (cluster.hostOf(number) === 1 || cluster.hasNode2) cluster.putIp(number);
};

const changeService: Change = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  const numbers = Array.from({ length: PODS }, (_, index) => index + 1).filter(() => below(random, 4) === 0);
  cluster.setPods(pick(random, SERVICES), numbers);
};

const changeNode: Change = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  if (cluster.hasNode2) cluster.removeNode(2);
  else if (cluster.goneForMs > NODE_RETURNS_MS) {
    cluster.addNode(2);
    for (let number = 9; number <= PODS; number++) if (below(random, 2) === 0) cluster.putIp(number);
  }
};

const changeIdentity: Change = ({ clusters }, random) => {
  const cluster = pick(random, clusters);
  const number = 1 + below(random, SPARE_IDENTITIES);
  const key = cluster.identityKey(number);
  if (cluster.wants(key)) cluster.remove(key);
  else cluster.putIdentity(number);
};

/** Relative shares by repetition. */
const CHANGES: readonly Change[] = [
  changeIp,
  changeIp,
  changeIp,
  changeIp,
  changeService,
  changeService,
  changeService,
  changeIdentity,
  changeNode,
];

/** Changes something now and then, until the signal aborts. */
export function keepChanging(stage: Stage, random: Random, signal: AbortSignal): void {
  const next = (): void => {
    if (signal.aborted) return;
    pick(random, CHANGES)(stage, random);
    const timer = stage.world.clock.after(random.next() * LONGEST_PAUSE_MS, next);
    signal.addEventListener("abort", () => timer.cancel(), { once: true });
  };
  next();
}
