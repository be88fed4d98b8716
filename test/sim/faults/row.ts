/** A row of the fault catalogue, as something that can be done to the stage. */
import { below, type Random } from "../../../src/runtime/random.ts";
import type { Bend, Link } from "../link.ts";
import { pick } from "../load.ts";
import type { MirrorProcess } from "../processes.ts";
import type { SimCluster } from "../sim-cluster.ts";
import type { Stage } from "../stage.ts";

export interface Scene {
  readonly stage: Stage;
  readonly random: Random;
  /** Its own cluster, drawn from the seed. */
  readonly cluster: SimCluster;
  readonly durationMs: number;
  /** The fault has shown itself: a row that is drawn and never does is not covered. */
  hit(): void;
  /** What happens at other clusters does not count for I8 while this lasts; the own one is troubled anyway. */
  trouble(...clusters: readonly SimCluster[]): void;
  /** While the fault lasts. */
  after(delayMs: number, action: () => void): void;
  every(intervalMs: number, action: () => void): void;
}

export interface FaultRow {
  /** Of the catalogue; X: our own addition. */
  readonly id: string;
  readonly title: string;
  /** How often it is drawn, relative to others. */
  readonly weight: number;
  /** Begins it; what is returned ends it, once. */
  readonly begin: (scene: Scene) => () => void;
}

export function row(id: string, title: string, begin: FaultRow["begin"], weight = 2): FaultRow {
  return { id, title, weight, begin };
}

export function nothing(): void {}

/** The ways from all others to a cluster's etcd. */
export function linksTo({ world, clusters }: Stage, remote: SimCluster): readonly Link[] {
  return clusters.filter((local) => local !== remote).map((local) => world.link(local.name, remote.name));
}

/** Bends all ways to the scene's cluster. */
export function bendAll({ stage, cluster }: Scene, bend: Bend): () => void {
  const ends = linksTo(stage, cluster).map((link) => link.bend(bend));
  return () => {
    for (const end of ends) end();
  };
}

/** Watches lose things without a word from now on; only audits find what. */
export function silently({ cluster }: Scene, end: () => void): () => void {
  const over = cluster.truth.silence();
  return () => {
    end();
    over();
  };
}

export function others({ clusters }: Stage, cluster: SimCluster): readonly SimCluster[] {
  return clusters.filter((one) => one !== cluster);
}

export function mirrorsOf({ mirrors }: Stage, cluster: SimCluster): readonly MirrorProcess[] {
  return mirrors.filter(({ own }) => own === cluster);
}

export function leaderOf(stage: Stage, cluster: SimCluster): MirrorProcess | undefined {
  return mirrorsOf(stage, cluster).find((mirror) => mirror.status()?.leader);
}

export function chance(random: Random, oneIn: number): boolean {
  return below(random, oneIn) === 0;
}

export { below, pick };
