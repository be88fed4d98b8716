/** The etcd of a cluster that has mirrored a large remote: what its agents list. And whether an agent's maps are what it says. */
import assert from "node:assert/strict";
import { list } from "../src/follow/list.ts";
import { FollowedKeys } from "../src/ingest/keys.ts";
import type { KernelMap } from "../src/kernel/door.ts";
import { decodeIpcacheValue, encodeIpcacheKey, IPCACHE_MAP } from "../src/maps/ipcache-map.ts";
import { decodeServiceValue, encodeServiceKey, SERVICE_MAP } from "../src/maps/service-map.ts";
import { parseAddress } from "../src/model/address.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import type { AgentStage } from "./agent-stage.ts";
import {
  entriesInTurn,
  OWN,
  ownAnnouncement,
  ownServiceEntry,
  type Pair,
  podAddress,
  podIdentity,
  serviceAddress,
} from "./mesh-data.ts";
import { encodePuts, inBatches, RawEtcd } from "./raw-etcd.ts";

/** The agent's own default. */
const PAGE_SIZE = 5_000;
const POLL_MS = 10;
const WITHIN_MS = 600_000;
const FILL_CHUNK = 50_000;
const FILL_BATCH = 100;
const FILL_IN_FLIGHT = 16;
const QUOTA_BYTES = 8 * 1024 ** 3;
const BACKENDS_EACH = 2;
const SAMPLES = 500;
const TCP = 6;

export interface Size {
  readonly pods: number;
  readonly services: number;
}

function* pairsOf({ pods, services }: Size): Generator<Pair> {
  for (const { cacheKey, value } of entriesInTurn(pods, services)) yield { key: cacheKey, value };
  for (let number = 0; number < services; number++) yield ownServiceEntry(number);
}

/** @param more keys, such as a service of the bench's own. */
export async function cachedRemote(size: Size, more: readonly Pair[] = []): Promise<TestEtcd> {
  const etcd = await TestEtcd.start({ flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
  const raw = new RawEtcd(etcd.endpoint);
  const write = (pairs: readonly Pair[]): Promise<void> =>
    raw.writeAll(inBatches(pairs, FILL_BATCH).map(encodePuts), FILL_IN_FLIGHT);
  let chunk: Pair[] = [...more];
  for (const pair of pairsOf(size)) {
    chunk.push(pair);
    if (chunk.length < FILL_CHUNK) continue;
    await write(chunk);
    chunk = [];
  }
  await write(chunk);
  await raw.txn(encodePuts(ownAnnouncement()));
  raw.close();
  return etcd;
}

/** Milliseconds to list every key that an agent follows, in its pages, and nothing else. */
export async function listed(etcd: TestEtcd): Promise<number> {
  const kv = etcd.connect({ timeoutMs: 60_000 });
  const { ranges } = new FollowedKeys(OWN.name);
  const { signal } = new AbortController();
  const fromMs = systemClock.nowMs();
  await list(kv, ranges, { pageSize: PAGE_SIZE, clock: systemClock, signal });
  const tookMs = systemClock.nowMs() - fromMs;
  kv.close();
  return tookMs;
}

const addressOf = (text: string): Uint8Array => parseAddress(text) ?? assert.fail(text);

/** The maps of a stage's agent, as far as the etcd says what is in them. */
export class ExpectedMaps {
  readonly #ipcache: KernelMap;
  readonly #services: KernelMap;
  readonly #size: Size;

  private constructor(ipcache: KernelMap, services: KernelMap, size: Size) {
    this.#ipcache = ipcache;
    this.#services = services;
    this.#size = size;
  }

  /** undefined: the agent has none yet. */
  static async of(stage: AgentStage, size: Size): Promise<ExpectedMaps | undefined> {
    const [ipcache, services] = [await stage.map(IPCACHE_MAP.name), await stage.map(SERVICE_MAP.name)];
    return ipcache && services && new ExpectedMaps(ipcache, services, size);
  }

  /** The number of a pod's identity in its map; undefined: it is not there. */
  identity(pod: number): number | undefined {
    const value = this.#ipcache.lookup(encodeIpcacheKey({ address: addressOf(podAddress(pod)) }));
    return value && decodeIpcacheValue(value).identity;
  }

  #serves(number: number): boolean {
    const frontend = { address: addressOf(serviceAddress(number)), port: 80, protocol: TCP };
    const value = this.#services.lookup(encodeServiceKey({ ...frontend, slot: 0 }));
    return value !== undefined && decodeServiceValue(value).count === BACKENDS_EACH;
  }

  /** Whether some of each kind are right, the last ones among them: what is written last. */
  seemRight(): boolean {
    const { pods, services } = this.#size;
    return this.#areRight(Math.ceil(pods / SAMPLES), Math.ceil(services / SAMPLES), pods, services);
  }

  /** Looks at everything. */
  areRight(): boolean {
    return this.#areRight(1, 1, this.#size.pods, this.#size.services);
  }

  #areRight(podStep: number, serviceStep: number, pods: number, services: number): boolean {
    for (let pod = pods - 1; pod >= 0; pod -= podStep) if (this.identity(pod) !== podIdentity(pod)) return false;
    for (let number = services - 1; number >= 0; number -= serviceStep) if (!this.#serves(number)) return false;
    return true;
  }
}

/** Starts the agent; resolves when its maps seem right. */
export async function untilRight(stage: AgentStage, size: Size): Promise<ExpectedMaps> {
  const deadlineMs = systemClock.nowMs() + WITHIN_MS;
  stage.start();
  let maps: ExpectedMaps | undefined;
  while (!maps?.seemRight()) {
    if (systemClock.nowMs() > deadlineMs) throw new Error("the agent's maps are not right");
    await sleep(systemClock, POLL_MS);
    maps ??= await ExpectedMaps.of(stage, size);
  }
  return maps;
}
