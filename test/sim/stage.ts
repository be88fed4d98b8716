/** What a simulated story is played with. */
import type { AgentProcess, MirrorProcess, World } from "./processes.ts";
import type { SimCluster } from "./sim-cluster.ts";
import type { Trace } from "./trace.ts";

export interface Stage {
  readonly world: World;
  readonly clusters: readonly SimCluster[];
  readonly mirrors: readonly MirrorProcess[];
  readonly agents: readonly AgentProcess[];
  readonly trace: Trace;
}
