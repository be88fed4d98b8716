/** Drives the desired state to a whole, resting in between so that leases are renewed in time. */
import type { Slices } from "../runtime/clock.ts";
import { type AddressOwners, assignAddresses } from "./addresses.ts";
import { desiredState } from "./desired.ts";
import { drive } from "./drive.ts";
import type { ConflictKind, DesiredInput, Part } from "./parts.ts";
import { CONFLICT_KINDS, PARTS } from "./parts.ts";

/** Whole key -> value. */
export type Entries = ReadonlyMap<string, Uint8Array>;

export interface Compiled {
  readonly parts: ReadonlyMap<Part, Entries>;
  /** Whole keys that are to stay as they are. */
  readonly refused: ReadonlySet<string>;
  readonly owners: AddressOwners;
  readonly problems: readonly string[];
  /** How many of the problems are conflicts. */
  readonly conflicts: ReadonlyMap<ConflictKind, number>;
}

/** @param input `owners` are those of the time before. */
export async function compile(input: DesiredInput, slices: Slices): Promise<Compiled> {
  const assigned = await drive(assignAddresses(input.world, input.owners), slices);
  const { owners } = assigned;
  const parts = new Map(PARTS.map((part) => [part, new Map<string, Uint8Array>()]));
  const refused = new Set<string>();
  const problems = [...assigned.problems];
  const conflicts = new Map(CONFLICT_KINDS.map((kind) => [kind, kind === "address" ? problems.length : 0]));
  await drive(desiredState({ ...input, owners }), slices, (desired) => {
    if ("problem" in desired) {
      problems.push(desired.problem);
      if (desired.conflict) conflicts.set(desired.conflict, (conflicts.get(desired.conflict) ?? 0) + 1);
    } else if ("refused" in desired) refused.add(desired.key);
    else parts.get(desired.part)?.set(desired.key, desired.value);
  });
  return { parts, refused, owners, problems, conflicts };
}

export interface Change {
  readonly key: string;
  /** Absent: delete. */
  readonly value?: Uint8Array;
}

/** What turns `before` into `after`; refused keys are left alone. */
export function* changes(before: Entries, after: Entries, refused: ReadonlySet<string>): Generator<Change> {
  for (const [key, value] of after) {
    const old = before.get(key);
    if (!old || (old !== value && Buffer.compare(old, value) !== 0)) yield { key, value };
  }
  for (const key of before.keys()) if (!after.has(key) && !refused.has(key)) yield { key };
}
