/** Drills: what one says, what is asked of drilld at the target, and what a drill reports. docs/OPERATING.md has the words for people. */

/** What may be done to a target. The first four need its process, the next three its device, then three its etcd, `drain` its exporter, `reboot` its process and pins. */
export const FAULTS = [
  "kill",
  "freeze",
  "thaw",
  "start",
  "blackhole",
  "link-down",
  "flap",
  "wipe",
  "restore-old",
  "quota",
  "drain",
  "reboot",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Faults that destroy what an etcd holds: they need MARKER_KEY in it. */
export const DESTRUCTIVE: ReadonlySet<Fault> = new Set<Fault>(["wipe", "restore-old", "quota"]);

/** Says that an etcd may be destroyed. The lab writes it when it starts; nothing else ever does. */
export const MARKER_KEY = "bulkhead/v1/lab";

/**
 * By what the mesh is seen to notice: every observer says that the cluster is not well (`unwell`), holds withdrawals of it (`held`), or lost its
 * connection to it (`lost`); a program of the cluster itself is not well (`inside`); another mirror of it leads than before (`leader`); no node gives
 * it new connections that could go elsewhere (`drained`).
 */
export const SIGNS = ["unwell", "held", "lost", "inside", "leader", "drained"] as const;
export type Sign = (typeof SIGNS)[number];

export interface DrillStep {
  readonly fault: Fault;
  /** Name of a target on the allow-list of the drilld of the drill's cluster. */
  readonly target: string;
  /** Until the next step; the fault stays until all steps are over. */
  readonly forMs: number;
  /** Of a drain: how long it takes its time; absent: none. */
  readonly overMs?: number;
}

export interface Drill {
  readonly name: string;
  readonly hypothesis: string;
  /** The cluster that the faults happen to. */
  readonly cluster: string;
  /** Another that may be away all the time: nothing that is said by it or of it counts. */
  readonly despite?: string;
  readonly probe: {
    readonly cluster: string;
    /** Name of a place on the allow-list of that cluster's drilld. */
    readonly place: string;
    /** `namespace/name`. */
    readonly service: string;
    /** Connections a second. */
    readonly rate: number;
  };
  readonly steps: readonly DrillStep[];
  /** The drill ends at once when more connections failed. */
  readonly maxFailed: number;
  readonly expect: {
    readonly detect?: { readonly sign: Sign; readonly withinMs: number };
    /** Connections that may fail, and until when after the first fault. */
    readonly failed: number;
    readonly failOverWithinMs: number;
    /** Nothing known of the target may be gone from the observers' caches meanwhile. */
    readonly entriesKept: boolean;
    readonly convergeWithinMs: number;
  };
}

/** `POST /v1/faults` of drilld. */
export interface FaultRequest {
  /** Unique for each run of a drill. */
  readonly run: string;
  readonly fault: Fault;
  readonly target: string;
  /** Undone by then, whatever becomes of the caller. */
  readonly undoAfterMs: number;
  /** Of a drain alone. */
  readonly overMs?: number;
  readonly dryRun: boolean;
}

/** Each a line for a person, in the order in which it is done. */
export interface FaultAnswer {
  readonly does: readonly string[];
  readonly undoes: readonly string[];
}

/** One line of the connections that were made since the line before. */
export interface ProbeCounts {
  readonly made: number;
  readonly failed: number;
  /** Of the failed, by code. */
  readonly failures: Readonly<Record<string, number>>;
}

/** `aborted`: by a guard, or because a fault could not be done. `invalid`: not begun, because the mesh or the probe was not well before. */
export type Verdict = "passed" | "failed" | "aborted" | "invalid";

export interface DrillCheck {
  readonly what: "detect" | "fail over" | "connections" | "entries" | "converge";
  readonly held: boolean;
  readonly line: string;
}

export interface DrillReport {
  readonly version: 1;
  readonly drill: string;
  readonly run: string;
  readonly hypothesis: string;
  readonly cluster: string;
  readonly verdict: Verdict;
  /** Why it was aborted or is invalid. */
  readonly reason?: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly tookMs: number;
  /** From the first fault until the sign; absent: not seen, or not looked for. */
  readonly detectMs?: number;
  /** From the first fault until the last connection that failed before the undo; 0 when none did. */
  readonly failOverMs: number;
  readonly connections: ProbeCounts;
  /** Of the target in all observers' caches: before, and the fewest seen since. */
  readonly entries: { readonly before: number; readonly least: number };
  /** From the undo until everybody is well and knows what was known before; absent: not in time. */
  readonly convergeMs?: number;
  readonly checks: readonly DrillCheck[];
}

export const FAULTS_PATH = "/v1/faults";
export const UNDO_PATH = "/v1/faults/undo";
export const PROBE_PATH = "/v1/probe";
export const DRILLS_PATH = "/v1/drills";
