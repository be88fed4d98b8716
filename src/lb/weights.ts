/**
 * What part of new connections goes where: preferences, weights, drains and backends that are missing, by cluster; and parts as slots, for the
 * kernel takes each slot of a frontend equally often. Whatever is asked for, something is left: where nothing would be, it does not count.
 */
import { FULL_WEIGHT } from "../model/drain.ts";
import type { LocalService } from "../model/resource.ts";
import type { Candidate } from "./backend.ts";

/** Of a backend of a cluster, for one frontend. */
export interface Part {
  /** Of the strongest backend's connections, 0 to FULL_WEIGHT; 0: not used. */
  readonly weight: number;
  /** Why it is 0, or in spite of what it is not, or how the clusters divide. */
  readonly why?: string;
}

/** Of a cluster's backends, 0 to FULL_WEIGHT. */
export type WeightOf = (candidate: Candidate) => number;

type Wishes = Pick<LocalService, "global" | "affinity" | "routing">;

/** The backends of one cluster that may be used. */
interface Group {
  readonly cluster: string;
  readonly own: boolean;
  readonly count: number;
  /** Lower is preferred. */
  readonly tier: number;
  /** Of its drain. */
  readonly drained: number;
  /** By annotation. */
  readonly asked: number;
}

/** The part of each cluster that has a backend among `fitting`. */
export function parts(
  service: Wishes,
  fitting: readonly Candidate[],
  weightOf: WeightOf,
): (candidate: Candidate) => Part {
  const eligible = fitting.filter(({ own }) => own || service.global);
  const members = Map.groupBy(eligible, ({ clusterId }) => clusterId);
  const ids = [...members.keys()];
  const divided = divide(
    service,
    [...members.values()].map((all) => groupOf(service, all, weightOf)),
  );
  return ({ clusterId }) => divided[ids.indexOf(clusterId)] ?? { weight: 0, why: "not global" };
}

function groupOf(service: Wishes, members: readonly Candidate[], weightOf: WeightOf): Group {
  const first = members[0] as Candidate;
  const { cluster, own } = first;
  const asked = service.routing?.weights.get(cluster) ?? FULL_WEIGHT;
  return { cluster, own, count: members.length, tier: tierOf(service, first), drained: weightOf(first), asked };
}

function tierOf({ affinity, routing }: Wishes, { cluster, own }: Candidate): number {
  const prefer = routing?.prefer ?? [];
  if (prefer.length > 0) return prefer.includes(cluster) ? prefer.indexOf(cluster) : prefer.length;
  return affinity === "none" || (affinity === "local") === own ? 0 : 1;
}

/** How a group's weight is counted: the first way that leaves something. */
const WAYS = [
  { weight: ({ drained, asked }: Group) => (drained * asked) / FULL_WEIGHT, inSpiteOf: undefined },
  { weight: ({ drained }: Group) => drained, inSpiteOf: "of weight 0" },
  { weight: () => FULL_WEIGHT, inSpiteOf: "drained" },
] as const;

type Way = (typeof WAYS)[number];

/**
 * Each tier takes of what the ones before leave as much as its clusters are not drained and enough of its backends are ready. In a tier each
 * backend counts as its cluster's weight says.
 */
function divide(service: Wishes, groups: readonly Group[]): readonly Part[] {
  const way = WAYS.find(({ weight }) => groups.some((group) => weight(group) > 0)) ?? WAYS[2];
  const usable = groups.filter((group) => way.weight(group) > 0);
  const tiers = [...Map.groupBy(usable, ({ tier }) => tier)].sort(([left], [right]) => left - right);
  /** Of a backend. */
  const shares = new Map<Group, number>();
  let left = 1;
  for (const [, members] of tiers) {
    const taken = left * strength(service, members, way);
    const sum = members.reduce((total, group) => total + way.weight(group) * group.count, 0);
    for (const group of members) shares.set(group, (taken * way.weight(group)) / sum);
    left -= taken;
  }
  const strongest = Math.max(...shares.values());
  const used = usable.filter((group) => shares.get(group));
  const isDivided = used.some(({ tier }) => tier !== used[0]?.tier);
  return groups.map((group) => {
    const share = shares.get(group) ?? 0;
    if (share === 0) return { weight: 0, why: shares.has(group) ? passedOver(service, used) : unusable(group) };
    const percentage = isDivided ? (FULL_WEIGHT * share * group.count) / (1 - left) : undefined;
    const why = usedWhy(service, group, way, percentage);
    return { weight: (FULL_WEIGHT * share) / strongest, ...(why === undefined ? {} : { why }) };
  });
}

/** What a tier keeps of what it is given, above 0 to 1. */
function strength(service: Wishes, members: readonly Group[], way: Way): number {
  const drained = way.inSpiteOf === "drained" ? FULL_WEIGHT : Math.max(...members.map((group) => group.drained));
  const ready = members.every(({ own }) => own) ? readiness(service, members[0] as Group) : 1;
  return (drained / FULL_WEIGHT) * ready;
}

/** What the own cluster keeps of its share while some of its backends are not ready. */
function readiness({ routing }: Wishes, { count }: Pick<Group, "count">): number {
  if (routing === undefined || routing.spillBelow === 0) return 1;
  const percentage = (100 * count) / (count + routing.unready);
  return Math.min(1, percentage / routing.spillBelow);
}

function unusable({ drained }: Group): string {
  return drained === 0 ? "drained" : "of weight 0";
}

const OTHER_SIDE = {
  local: "affinity local: local backends exist",
  remote: "affinity remote: remote backends exist",
  none: "",
} as const;

function passedOver({ affinity, routing }: Wishes, used: readonly Group[]): string {
  if (!routing?.prefer.length) return OTHER_SIDE[affinity];
  return `preferred: ${used.map(({ cluster }) => cluster).join(", ")}`;
}

function usedWhy(service: Wishes, group: Group, way: Way, percentage: number | undefined): string | undefined {
  if (way.inSpiteOf !== undefined) return `used: ${way.inSpiteOf}, but nothing else is left`;
  const weight = way.weight(group);
  const words: string[] = [];
  if (weight < FULL_WEIGHT) words.push(`at weight ${Math.max(1, Math.round(weight))} of ${FULL_WEIGHT}`);
  if (percentage !== undefined) words.push(`for ${Math.max(1, Math.round(percentage))} % of new connections`);
  if (percentage !== undefined && group.own && readiness(service, group) < 1) {
    words.push(`${group.count} of ${group.count + (service.routing?.unready ?? 0)} are ready`);
  }
  return words.length === 0 ? undefined : `used ${words.join(", ")}`;
}

/** Slots of a backend of full weight, at most; fewer where there are many backends. */
const MOST_SLOTS = 10;
const SLOTS_OF_A_FRONTEND = 200;

/**
 * Each backend as often as it has slots: in proportion to the weights (above 0), as near as MOST_SLOTS allows, and once each where all are equal.
 * A cluster of many backends and little weight has slots for some of them only, but always for one.
 */
export function slots(used: readonly Candidate[], weightOf: WeightOf): readonly Candidate[] {
  const most = Math.max(...used.map(weightOf));
  if (used.every((candidate) => weightOf(candidate) === most)) return used;
  const clusters = [...Map.groupBy(used, ({ cluster }) => cluster).values()];
  const share = (members: readonly Candidate[]): number => weightOf(members[0] as Candidate) / most;
  const strong = clusters.reduce((sum, members) => sum + members.length * share(members), 0);
  const perBackend = Math.max(1, Math.min(MOST_SLOTS, Math.floor((SLOTS_OF_A_FRONTEND - clusters.length) / strong)));
  const counts = new Map<Candidate, number>();
  for (const members of clusters) {
    const each = share(members) * perBackend;
    const upTo = (index: number): number => (index === 0 ? 0 : Math.max(1, Math.round(index * each)));
    for (const [index, member] of members.entries()) counts.set(member, upTo(index + 1) - upTo(index));
  }
  const divisor = [...counts.values()].reduce(greatestDivisor);
  return used.flatMap((candidate) => new Array<Candidate>((counts.get(candidate) ?? 0) / divisor).fill(candidate));
}

function greatestDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestDivisor(right, left % right);
}
