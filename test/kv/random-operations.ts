/** Random operations on an etcd, drawn so that they meet: few keys, revisions around the present, every refusal now and then. */
import type { Compare, Operation, RangeRequest, TxnRequest, WatchRequest } from "../../src/kv/client.ts";
import { below, type Random } from "../../src/runtime/random.ts";

/** What the generator may refer to. */
export interface World {
  readonly revision: number;
  readonly compactRevision: number;
  /** Leases granted so far, revoked ones among them; 0 stands for none, -1 for one that never was. */
  readonly leases: number;
}

export type Step =
  | { readonly kind: "range"; readonly request: RangeRequest }
  /** Leases are named by their number, see `leaseOf`. */
  | { readonly kind: "txn"; readonly request: TxnRequest }
  | { readonly kind: "grant"; readonly ttlSeconds: number }
  | { readonly kind: "renew" | "revoke"; readonly lease: number }
  | { readonly kind: "watch"; readonly request: WatchRequest }
  | { readonly kind: "cancel"; readonly choice: number }
  | { readonly kind: "compact"; readonly revision: number };

/** In byte order; the last three would sort otherwise as UTF-16. */
const KEYS = [..."0123456789abcdef"]
  .map((digit) => `k/${digit}`)
  .concat("k", "k/", "j", "l", "k/\u00e9", "k/\uffee", "k/\u{1f600}");
const ENDS = ["k0", "k/4", "k/9", "k/a", "k/\uffee", "l", "\0", "a"];

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[below(random, choices.length)] as T;
}

function chance(random: Random, share: number): boolean {
  return random.next() < share;
}

function keys(random: Random): { key: string; rangeEnd?: string } {
  const key = pick(random, KEYS);
  return chance(random, 0.5) ? { key } : { key, rangeEnd: pick(random, ENDS) };
}

/** Mostly in the past, now and then compacted or still to come. */
function revision(random: Random, world: World): number {
  if (chance(random, 0.1)) return world.revision + 1 + below(random, 3);
  if (chance(random, 0.3)) return Math.max(1, world.compactRevision + below(random, 3) - 1);
  return Math.max(1, world.revision - below(random, 40));
}

function range(random: Random, world: World): Step {
  const request: RangeRequest = {
    ...keys(random),
    ...(chance(random, 0.5) && { limit: below(random, 5) }),
    ...(chance(random, 0.5) && { revision: revision(random, world) }),
    ...(chance(random, 0.2) && { keysOnly: true }),
    ...(chance(random, 0.1) && { countOnly: true }),
  };
  return { kind: "range", request: chance(random, 0.01) ? { ...request, key: "" } : request };
}

function compare(random: Random, world: World): Compare {
  const target = pick(random, ["mod", "create", "version"] as const);
  const equal = chance(random, 0.5) ? 0 : target === "version" ? below(random, 4) : world.revision - below(random, 10);
  return { key: pick(random, KEYS), target, equal };
}

function operation(random: Random, world: World): Operation {
  if (chance(random, 0.25)) return { delete: keys(random) };
  const value = new TextEncoder().encode(`value ${below(random, 1000)}`.repeat(below(random, 4)));
  const lease = chance(random, 0.2) ? below(random, world.leases + 2) - 1 : 0;
  return { put: { key: pick(random, KEYS), value, ...(lease !== 0 && { leaseId: BigInt(lease) }) } };
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

function txn(random: Random, world: World): Step {
  const compares = chance(random, 0.4) ? times(1 + below(random, 2), () => compare(random, world)) : [];
  const operations = times(chance(random, 0.05) ? 0 : 1 + below(random, 3), () => operation(random, world));
  return { kind: "txn", request: { compare: compares, operations } };
}

/** Too many operations, too large, or without a key. */
function refusedTxn(random: Random): Step {
  const put = (key: string, bytes: number): Operation => ({ put: { key, value: new Uint8Array(bytes) } });
  const many = times(127 + below(random, 4), (index) => put(`k/many/${index}`, 1));
  const large = [put("k/large", pick(random, [1_000_000, 1_600_000, 2_500_000]))];
  return { kind: "txn", request: { operations: pick(random, [many, large, [put("", 1)]]) } };
}

function watch(random: Random, world: World): Step {
  return {
    kind: "watch",
    request: { ...keys(random), ...(chance(random, 0.7) && { startRevision: revision(random, world) }) },
  };
}

function lease(random: Random, world: World): Step {
  const number = below(random, world.leases + 2) - 1;
  const kind = pick(random, ["grant", "renew", "revoke"] as const);
  if (kind === "grant") return { kind, ttlSeconds: 600 + below(random, 10) };
  return { kind, lease: number };
}

export function randomStep(random: Random, world: World): Step {
  const at = random.next();
  if (at < 0.3) return range(random, world);
  if (at < 0.9) return txn(random, world);
  if (at < 0.95) return lease(random, world);
  if (at < 0.96) return refusedTxn(random);
  if (at < 0.98) return watch(random, world);
  if (at < 0.998) return { kind: "cancel", choice: below(random, 100) };
  return {
    kind: "compact",
    revision: chance(random, 0.5) ? revision(random, world) : world.revision - below(random, 10),
  };
}
