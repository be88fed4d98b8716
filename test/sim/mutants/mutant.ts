/** A known-bad design, made by bending the doors of the real code or its options: the simulation must notice it. */
import { sameClient, type Warp } from "../doors.ts";
import type { Warps } from "../processes.ts";
import { NO_WARPS } from "../simulation.ts";

export interface Mutant {
  readonly name: string;
  /** What must be violated. */
  readonly invariant: string;
  readonly warps: Warps;
  /** One that is known to catch it. */
  readonly seed: number;
  /** Rows to draw from, where few faults show it; absent: all. */
  readonly faults?: string;
  /** For a defence behind another one, which has to be off as well: what shows that this one is missing. */
  readonly focus?: { readonly evidence: RegExp };
}

export function mutant(name: string, invariant: string, seed: number, warps: Partial<Warps>): Mutant {
  return { name, invariant, seed, warps: { ...NO_WARPS, ...warps } };
}

/** One that only these faults show: others would hide it among themselves. */
export function shownBy(faults: string, mutant: Mutant): Mutant {
  return { ...mutant, faults, seed: 1 };
}

/** New warps for each process, of its local etcd. */
export function atLocal(local: () => Warp): Partial<Warps> {
  return { mirror: () => ({ local: local(), remote: sameClient }) };
}

export function atRemotes(remote: () => Warp): Partial<Warps> {
  return { mirror: () => ({ local: sameClient, remote: remote() }) };
}
