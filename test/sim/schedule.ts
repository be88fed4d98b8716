/** Which faults a seed has, and when: drawn at once, so that nothing that happens changes what will. */

import type { Timer } from "../../src/runtime/clock.ts";
import { below, seededRandom } from "../../src/runtime/random.ts";
import type { FaultRow, Scene } from "./faults/row.ts";
import type { SimCluster } from "./sim-cluster.ts";
import type { Stage } from "./stage.ts";

const MOST_FAULTS = 6;
const SHORTEST_MS = 1_500;
const LONGEST_MS = 20_000;

interface Planned {
  readonly row: FaultRow;
  readonly atMs: number;
  readonly durationMs: number;
  readonly cluster: number;
  readonly seed: number;
}

/** 1 to 6 faults, no row twice unless there are fewer rows. They begin within `withinMs`. */
export function draw(seed: number, rows: readonly FaultRow[], withinMs: number): readonly Planned[] {
  const random = seededRandom(seed);
  const count = 1 + below(random, MOST_FAULTS);
  const left = [...rows];
  const planned: Planned[] = [];
  while (planned.length < count) {
    if (left.length === 0) left.push(...rows);
    const row = weighted(left, random.next());
    left.splice(left.indexOf(row), 1);
    planned.push({
      row,
      atMs: random.next() * withinMs,
      durationMs: SHORTEST_MS + random.next() * (LONGEST_MS - SHORTEST_MS),
      cluster: below(random, 1_000),
      seed: below(random, 2 ** 31),
    });
  }
  return planned;
}

function weighted(rows: readonly FaultRow[], at: number): FaultRow {
  let left = at * rows.reduce((sum, { weight }) => sum + weight, 0);
  const found = rows.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  return found ?? (rows.at(-1) as FaultRow);
}

export class Schedule {
  readonly #stage: Stage;
  readonly #running = new Set<() => void>();
  readonly #waiting: Timer[];
  /** Fault id -> how often it showed itself. */
  readonly struck = new Map<string, number>();

  constructor(stage: Stage, planned: readonly Planned[]) {
    this.#stage = stage;
    const { clock } = stage.world;
    this.#waiting = planned.map((one) => clock.after(one.atMs, () => this.#begin(one)));
  }

  #begin({ row, durationMs, cluster: drawn, seed }: Planned): void {
    const stage = this.#stage;
    const { world, clusters, trace } = stage;
    const cluster = clusters[drawn % clusters.length] as SimCluster;
    const random = seededRandom(seed);
    const troubled = new Set([cluster]);
    const fault = {};
    const timers = new Set<Timer>();
    const after = (delayMs: number, action: () => void): void => {
      const timer = world.clock.after(delayMs, () => {
        timers.delete(timer);
        action();
      });
      timers.add(timer);
    };
    const every = (intervalMs: number, action: () => void): void => {
      after(intervalMs, () => {
        action();
        every(intervalMs, action);
      });
    };
    const trouble = (...more: readonly SimCluster[]): void => {
      for (const one of more) troubled.add(one.troubles.add(fault) && one);
    };
    const hit = (): void => void this.struck.set(row.id, (this.struck.get(row.id) ?? 0) + 1);
    const scene: Scene = { stage, random, cluster, durationMs, hit, trouble, after, every };
    trouble(cluster);
    trace.note(`fault ${row.id} at ${cluster.name} for ${Math.round(durationMs)} ms`);
    const undo = row.begin(scene);
    const end = (): void => {
      if (!this.#running.delete(end)) return;
      for (const timer of timers) timer.cancel();
      trace.note(`end of ${row.id} at ${cluster.name}`);
      undo();
      for (const one of troubled) {
        one.troubles.delete(fault);
        one.troubledUntilMs = world.clock.nowMs();
      }
    };
    this.#running.add(end);
    this.#waiting.push(world.clock.after(durationMs, end));
  }

  /** Everything works again, and the exporters say everything they want to say. */
  heal(): void {
    const { clusters, mirrors, agents, trace } = this.#stage;
    trace.note("heal");
    for (const timer of this.#waiting) timer.cancel();
    for (const end of [...this.#running]) end();
    for (const cluster of clusters) {
      cluster.etcd.start();
      cluster.etcd.resume();
      cluster.etcd.setNoSpace(false);
      cluster.reconcile();
    }
    for (const mirror of mirrors) {
      mirror.start();
      mirror.continue();
    }
    for (const agent of agents) agent.start();
  }
}
