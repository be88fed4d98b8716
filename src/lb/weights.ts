/**
 * What part of new connections goes where: affinity and drains, by cluster; and parts as slots, for the kernel takes each slot of a frontend
 * equally often. Whatever is drained, something is left: where all is, nothing is.
 */
import { FULL_WEIGHT } from "../model/drain.ts";
import type { LocalService } from "../model/resource.ts";
import type { Candidate } from "./backend.ts";

/** Of a cluster, for one frontend. */
export interface Part {
  /** 0 to FULL_WEIGHT; 0: not used. */
  readonly weight: number;
  /** Why it is 0, or not all. */
  readonly why?: string;
}

export type WeightOf = (candidate: Candidate) => number;

const OTHER_SIDE = {
  local: "affinity local: local backends exist",
  remote: "affinity remote: remote backends exist",
  none: "",
} as const;

/**
 * The part of each cluster that has a backend among `fitting`. Affinity: what the preferred side gives up while it is drained goes to the other one.
 */
export function parts(
  { global, affinity }: Pick<LocalService, "global" | "affinity">,
  fitting: readonly Candidate[],
  weightOf: WeightOf,
): (candidate: Candidate) => Part {
  const eligible = fitting.filter(({ own }) => own || global);
  const allDrained = eligible.every((candidate) => weightOf(candidate) === 0);
  const weight: WeightOf = allDrained ? () => FULL_WEIGHT : weightOf;
  const isPreferred = ({ own }: Candidate): boolean => affinity === "none" || (affinity === "local") === own;
  const strongest = Math.max(0, ...eligible.filter(isPreferred).map(weight));
  return (candidate) => {
    if (!candidate.own && !global) return { weight: 0, why: "not global" };
    const own = weight(candidate);
    if (own === 0) return { weight: 0, why: "drained" };
    const left = isPreferred(candidate) || strongest === 0 ? FULL_WEIGHT : FULL_WEIGHT - strongest;
    if (left === 0) return { weight: 0, why: OTHER_SIDE[affinity] };
    const part = Math.max(1, Math.round((own * left) / FULL_WEIGHT));
    if (allDrained) return { weight: part, why: "used: drained, but nothing else is left" };
    return part === FULL_WEIGHT ? { weight: part } : { weight: part, why: `used at weight ${part} of ${FULL_WEIGHT}` };
  };
}

/** Slots of a backend of full weight, at most; fewer where there are many backends. */
const MOST_SLOTS = 10;
const SLOTS_OF_A_FRONTEND = 200;

/**
 * Each backend as often as it has slots: in proportion to the weights (1 or more), as near as MOST_SLOTS allows, and once each where all are equal.
 * A cluster of many backends and little weight has slots for some of them only, but always for one.
 */
export function slots(used: readonly Candidate[], weightOf: WeightOf): readonly Candidate[] {
  const most = Math.max(...used.map(weightOf));
  if (used.every((candidate) => weightOf(candidate) === most)) return used;
  const perBackend = Math.max(1, Math.min(MOST_SLOTS, Math.floor(SLOTS_OF_A_FRONTEND / used.length)));
  const counts = new Map<Candidate, number>();
  for (const members of Map.groupBy(used, ({ cluster }) => cluster).values()) {
    const each = (weightOf(members[0] as Candidate) * perBackend) / most;
    const upTo = (index: number): number => (index === 0 ? 0 : Math.max(1, Math.round(index * each)));
    for (const [index, member] of members.entries()) counts.set(member, upTo(index + 1) - upTo(index));
  }
  const divisor = [...counts.values()].reduce(greatestDivisor);
  return used.flatMap((candidate) => new Array<Candidate>((counts.get(candidate) ?? 0) / divisor).fill(candidate));
}

function greatestDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestDivisor(right, left % right);
}
