/**
 * Endpoints and policies without a compiler: a world says which policy each endpoint has and what each policy holds; the slots are given out here,
 * those with the same content taken over. And the judgement of a packet as the programs give it, over what the kernel holds at that moment.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Compilers, Held } from "../../src/datapath/datapath.ts";
import type { KernelMap, KernelMapFamily } from "../../src/kernel/door.ts";
import {
  decodeEndpointValue,
  ENDPOINT_MAP,
  encodeEndpointKey,
  encodeEndpointValue,
} from "../../src/maps/endpoint-map.ts";
import {
  decodePolicyKey,
  decodePolicyValue,
  encodePolicyKey,
  encodePolicyValue,
  POLICY_FAMILY,
  type PolicyKey,
  VERDICT_ALLOWED,
  VERDICT_DENIED,
} from "../../src/maps/policy-map.ts";
import { DesiredMap, entryKey } from "../../src/tables/desired-map.ts";

export interface PolicyWorld {
  /** Name to entries: key text to verdict. */
  readonly policies: ReadonlyMap<string, Entries>;
  /** Ifindex to the name of its ingress policy. */
  readonly endpoints: ReadonlyMap<number, string>;
}

type Entries = ReadonlyMap<string, { readonly key: PolicyKey; readonly verdict: number }>;

const IDENTITIES = [0, 7, 8];
const PROTOCOLS = [6, 17];
const PORTS = [80, 81];
const TUPLES = IDENTITIES.flatMap((identity) =>
  PROTOCOLS.flatMap((protocol) => PORTS.map((port) => ({ identity, protocol, port }))),
);

const policyKeys: readonly PolicyKey[] = IDENTITIES.flatMap((identity) => [
  { prefixLength: 32, identity, protocol: 0, port: 0 },
  ...PROTOCOLS.map((protocol) => ({ prefixLength: 40, identity, protocol, port: 0 })),
  ...PROTOCOLS.flatMap((protocol) => PORTS.map((port) => ({ prefixLength: 64, identity, protocol, port }))),
]);

const arbitraryEntries: fc.Arbitrary<Entries> = fc
  .array(fc.tuple(fc.constantFrom(...policyKeys), fc.constantFrom(VERDICT_ALLOWED, VERDICT_DENIED)), { maxLength: 8 })
  .map((drawn) => new Map(drawn.map(([key, verdict]) => [entryKey(encodePolicyKey(key)), { key, verdict }])));

const NAMES = ["a", "b", "c"];

export const policyWorlds: fc.Arbitrary<PolicyWorld> = fc
  .tuple(
    fc.array(arbitraryEntries, { minLength: 3, maxLength: 3 }),
    fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
  )
  .map(([contents, chosen]) => ({
    policies: new Map(NAMES.map((name, index) => [name, contents[index] as Entries])),
    endpoints: new Map(
      chosen.flatMap((choice, index) => (choice === 3 ? [] : [[index + 10, NAMES[choice] as string] as const])),
    ),
  }));

/** Gives out slots as a compiler would. */
export class WorldCompilers implements Compilers {
  readonly #endpoints = new DesiredMap();
  readonly #policies = new Map<number, DesiredMap>();
  readonly #slots = new Map<string, number>();
  readonly #taken = new Set<number>();
  readonly desired = new Map([[ENDPOINT_MAP.name, this.#endpoints]]);
  readonly desiredFamilies = new Map([[POLICY_FAMILY.name, this.#policies]]);
  readonly complete = true;
  /** Slots taken over whose policy is not known yet, and their contents. */
  readonly #held = new Map<number, string>();
  world: PolicyWorld;

  constructor(world: PolicyWorld) {
    this.world = world;
  }

  adopt({ maps, families }: Held): void {
    for (const [key, value] of maps.get(ENDPOINT_MAP.name) ?? []) this.#endpoints.set(entryKey(key), value);
    for (const [slot, dump] of families.get(POLICY_FAMILY.name) ?? []) {
      const desired = new DesiredMap();
      for (const [key, value] of dump) desired.set(entryKey(key), value);
      this.#policies.set(slot, desired);
      this.#held.set(slot, contentOf(desired));
      this.#taken.add(slot);
    }
  }

  released(_family: string, isFree: (slot: number) => boolean): void {
    for (const slot of this.#taken) {
      if (!isFree(slot)) continue;
      assert(!this.#policies.has(slot));
      this.#taken.delete(slot);
    }
  }

  *compile(): Generator<void> {
    const wanted = new Set(this.world.endpoints.values());
    for (const name of wanted) this.#fill(name);
    for (const [name, slot] of this.#slots) {
      if (wanted.has(name)) continue;
      this.#policies.delete(slot);
      this.#slots.delete(name);
    }
    const used = new Set(this.#slots.values());
    for (const slot of this.#policies.keys()) if (!used.has(slot)) this.#policies.delete(slot);
    this.#fillEndpoints();
    this.#held.clear();
    yield;
  }

  #fill(name: string): void {
    const wanted = this.world.policies.get(name) as Entries;
    const content = new DesiredMap();
    for (const [key, { verdict }] of wanted) content.set(key, encodePolicyValue({ rule: 1, verdict }));
    const slot = this.#slots.get(name) ?? this.#adoptable(content) ?? this.#free();
    this.#slots.set(name, slot);
    const desired = this.#policies.get(slot) ?? new DesiredMap();
    this.#policies.set(slot, desired);
    for (const key of [...desired.keys()]) if (!wanted.has(key)) desired.delete(key);
    for (const [key, value] of content.entries()) desired.set(key, value);
  }

  #adoptable(content: DesiredMap): number | undefined {
    const found = [...this.#held].find(([, held]) => held === contentOf(content))?.[0];
    if (found !== undefined) this.#held.delete(found);
    return found;
  }

  #free(): number {
    let slot = 1;
    while (this.#taken.has(slot)) slot++;
    this.#taken.add(slot);
    return slot;
  }

  #fillEndpoints(): void {
    const wanted = new Map(
      [...this.world.endpoints].map(([ifindex, name]) => {
        const ingressPolicy = this.#slots.get(name) as number;
        return [entryKey(encodeEndpointKey({ ifindex })), { identity: 9, ingressPolicy, egressPolicy: 0, flags: 0 }];
      }),
    );
    for (const key of [...this.#endpoints.keys()]) if (!wanted.has(key)) this.#endpoints.delete(key);
    for (const [key, value] of wanted) this.#endpoints.set(key, encodeEndpointValue(value));
  }
}

function contentOf(desired: DesiredMap): string {
  return JSON.stringify([...desired.entries()].map(([key, value]) => [key, [...value]]).sort());
}

/** A policy's answer to each tuple: the longest match of each probe, and deny beats allow. */
export function answers(entries: Entries): readonly number[] {
  return TUPLES.map((tuple) => {
    const probes = [tuple.identity, 0].map((identity) => longestMatch(entries, { ...tuple, identity }));
    return probes.includes(VERDICT_DENIED) ? VERDICT_DENIED : probes.includes(VERDICT_ALLOWED) ? VERDICT_ALLOWED : 0;
  });
}

function longestMatch(entries: Entries, tuple: { identity: number; protocol: number; port: number }): number {
  const matches = [...entries.values()].filter(
    ({ key }) =>
      key.identity === tuple.identity &&
      (key.prefixLength < 40 || key.protocol === tuple.protocol) &&
      (key.prefixLength < 64 || key.port === tuple.port),
  );
  return matches.sort((left, right) => right.key.prefixLength - left.key.prefixLength)[0]?.verdict ?? 0;
}

async function entriesOf(map: KernelMap): Promise<Entries> {
  const { count, keys, values } = await map.dump();
  const entries = Array.from({ length: count }, (_, index) => {
    const key = keys.slice(index * map.keySize, (index + 1) * map.keySize);
    const value = values.slice(index * map.valueSize, (index + 1) * map.valueSize);
    return [entryKey(key), { key: decodePolicyKey(key), verdict: decodePolicyValue(value).verdict }] as const;
  });
  return new Map(entries);
}

/** What each endpoint in the kernel answers to each tuple. Fails when it names a slot without a map. */
export async function kernelAnswers(
  endpoints: KernelMap,
  family: KernelMapFamily,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const maps = await family.read();
  const { count, keys, values } = await endpoints.dump();
  const found = new Map<number, readonly number[]>();
  for (let index = 0; index < count; index++) {
    const ifindex = new DataView(keys.buffer, keys.byteOffset + index * endpoints.keySize).getUint32(0, true);
    const value = values.slice(index * endpoints.valueSize, (index + 1) * endpoints.valueSize);
    const { ingressPolicy } = decodeEndpointValue(value);
    const map = maps.get(ingressPolicy);
    assert(map !== undefined, `endpoint ${ifindex} names slot ${ingressPolicy}, which is empty`);
    found.set(ifindex, answers(await entriesOf(map)));
  }
  return found;
}

export function worldAnswers({ endpoints, policies }: PolicyWorld): ReadonlyMap<number, readonly number[]> {
  return new Map([...endpoints].map(([ifindex, name]) => [ifindex, answers(policies.get(name) as Entries)]));
}
