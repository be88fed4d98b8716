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
  /** For a defence behind another one, which has to be off as well: faults that only this one withstands, and what shows that it does not. */
  readonly focus?: { readonly faults: string; readonly evidence: RegExp };
}

export function mutant(name: string, invariant: string, seed: number, warps: Partial<Warps>): Mutant {
  return { name, invariant, seed, warps: { ...NO_WARPS, ...warps } };
}

/** New warps for each process, of its local etcd. */
export function atLocal(local: () => Warp): Partial<Warps> {
  return { mirror: () => ({ local: local(), remote: sameClient }) };
}

export function atRemotes(remote: () => Warp): Partial<Warps> {
  return { mirror: () => ({ local: sameClient, remote: remote() }) };
}
