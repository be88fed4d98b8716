/** Whether a node reaches the remotes, and what it makes of that together with what the mirror says of them. */

/** `unknown`: nothing was found there that answers probes. */
export type DataPath = "alive" | "dead" | "unknown";

/** What is heard of a remote's state: `unknown` when the mirror does not say, or is not heard itself. */
export type ControlPlane = "talking" | "silent" | "unknown";

/**
 * `demote`: it talks, or nothing is known of that, but cannot be reached; `take-out`: it is silent and cannot be reached. Either way its backends
 * serve only where there are no others. `keep`: it is silent and can be reached, or nobody knows: all of it stays.
 */
export const HEALTH_DECISIONS = ["normal", "keep", "demote", "take-out"] as const;
export type HealthDecision = (typeof HEALTH_DECISIONS)[number];

/** TCP connections of workloads, as the kernel saw them. */
export interface Connections {
  readonly started: number;
  readonly established: number;
  /** Answered by a reset. */
  readonly refused: number;
  /** Unanswered for a second. */
  readonly silent: number;
}

export interface RemoteHealth {
  readonly cluster: string;
  readonly clusterId: number;
  readonly dataPath: DataPath;
  /** How long the data path has been so. */
  readonly sinceMs: number;
  /** Addresses that are probed, and how many of them answered the last time. */
  readonly targets: number;
  readonly answered: number;
  /** Of this node's workloads to pods there, in the minute before its last round of probes. Absent: an agent of before they were counted. */
  readonly connections?: Connections;
  readonly controlPlane: ControlPlane;
  readonly decision: HealthDecision;
}

/** Of one node. */
export interface HealthStatus {
  /** It lost most remotes at once: the fault is probably here, and nothing is demoted. */
  readonly suspectsItself: boolean;
  /** By cluster, sorted. */
  readonly remotes: readonly RemoteHealth[];
}

export const NO_HEALTH: HealthStatus = { suspectsItself: false, remotes: [] };

/** Whether its backends serve only where there are no others. */
export function isDemoted(decision: HealthDecision): boolean {
  return decision === "demote" || decision === "take-out";
}
