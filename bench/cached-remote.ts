/** The etcd of a cluster that has mirrored a large remote: what its agents list. And whether an agent's maps are what it says. */
import assert from "node:assert/strict";
import { list } from "../src/follow/list.ts";
import { FollowedKeys } from "../src/ingest/keys.ts";
import type { KernelMap } from "../src/kernel/door.ts";
import { decodeIpcacheValue, encodeIpcacheKey, IPCACHE_MAP } from "../src/maps/ipcache-map.ts";
import { decodeServiceValue, encodeServiceKey, SERVICE_MAP } from "../src/maps/service-map.ts";
import { parseAddress } from "../src/model/address.ts";
import type { IpEntry } from "../src/model/resource.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { encodeIp } from "../src/wire/ip.ts";
import { clusterConfigKey, localServiceKey } from "../src/wire/keys.ts";
import { encodeLocalService } from "../src/wire/local-service.ts";
import { cacheKey, judge, resource } from "../src/wire/resources.ts";
import { encodeService } from "../src/wire/service.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import type { AgentStage } from "./agent-stage.ts";
import { announcement, entriesOf, OWN, type Pair, podEntry, REMOTE } from "./mesh-data.ts";
import { encodePuts, inBatches, RawEtcd } from "./raw-etcd.ts";

/** The agent's own default. */
const PAGE_SIZE = 5_000;
const POLL_MS = 10;
const WITHIN_MS = 600_000;
const FILL_BATCH = 100;
const FILL_IN_FLIGHT = 16;
const WRITTEN_AT = new TextEncoder().encode("2026-01-01T00:00:00Z");
const BACKENDS_EACH = 2;
const SAMPLES = 500;
const TCP = 6;
const HTTP = { name: "http", protocol: "TCP", port: 80 } as const;

export interface Size {
  readonly pods: number;
  readonly services: number;
}

export interface Pod {
  readonly address: string;
  readonly identity: number;
}

function podOf(number: number): IpEntry {
  const { cacheKey, value } = podEntry(number);
  const judged = judge("ip", REMOTE, cacheKey.slice(resource("ip").cachePrefix(REMOTE.name).length), value);
  assert(judged.ok);
  return judged.value;
}

/** A pod of the remote as it was, but for its identity. */
export function changedPod(number: number, identity: number): Pair & Pod & { readonly stateKey: string } {
  const { key: stateKey, cacheKey: key } = podEntry(number);
  const pod = { ...podOf(number), identity };
  return { ...pod, stateKey, key, value: encodeIp(pod) };
}

const frontendOf = (service: number): string => `10.100.${service >> 8}.${service & 0xff}`;

/** A service of the own cluster, without backends there, and what the remote offers to it. */
function servicePairs(number: number): readonly Pair[] {
  const said = { namespace: "shop", name: `called-${number}`, shared: true };
  const frontends = new Map([[frontendOf(number), [HTTP]]]);
  const pods = Array.from({ length: BACKENDS_EACH }, (_, index) => podOf(number * BACKENDS_EACH + index).address);
  const backends = new Map(pods.map((address) => [address, [{ ...HTTP, port: 8080 }]]));
  const cluster = { cluster: REMOTE.name, clusterId: REMOTE.id, labels: new Map(), selector: new Map() };
  const suffix = `${said.namespace}/${said.name}`;
  return [
    {
      key: localServiceKey(said.namespace, said.name),
      value: encodeLocalService({ ...said, frontends, backends: new Map(), global: true, affinity: "none" }),
    },
    {
      key: cacheKey("services", REMOTE.name, suffix),
      value: encodeService({ ...said, ...cluster, frontends, backends }),
    },
  ];
}

/** What says, in the own cluster's etcd, that this is all of what these clusters say. */
export function announcedToAgents(clusters: readonly string[]): readonly Pair[] {
  const keys = new FollowedKeys(OWN.name);
  return clusters
    .flatMap((cluster) => [
      keys.drainCanary(cluster),
      ...keys.kinds(cluster).flatMap((kind) => keys.canary(cluster, kind) ?? []),
    ])
    .map((key) => ({ key, value: WRITTEN_AT }));
}

/** @param more keys, such as a service of the bench's own. */
export async function cachedRemote({ pods, services }: Size, more: readonly Pair[] = []): Promise<TestEtcd> {
  const etcd = await TestEtcd.start();
  const raw = new RawEtcd(etcd.endpoint);
  const others = resource("services").cachePrefix(REMOTE.name);
  const mirrored = entriesOf(pods).filter((entry) => !entry.cacheKey.startsWith(others));
  const pairs = [
    ...mirrored.map(({ cacheKey: key, value }) => ({ key, value })),
    ...Array.from({ length: services }, (_, number) => servicePairs(number)).flat(),
    ...more,
  ];
  await raw.writeAll(inBatches(pairs, FILL_BATCH).map(encodePuts), FILL_IN_FLIGHT);
  const config = announcement().filter(({ key }) => key === clusterConfigKey(REMOTE.name));
  await raw.txn(encodePuts([...announcedToAgents([OWN.name, REMOTE.name]), ...config]));
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

  /** Whether the address has its identity in the map. */
  readonly knows = ({ address, identity }: Pod): boolean => {
    const value = this.#ipcache.lookup(encodeIpcacheKey({ address: addressOf(address) }));
    return value !== undefined && decodeIpcacheValue(value).identity === identity;
  };

  #serves(number: number): boolean {
    const frontend = { address: addressOf(frontendOf(number)), port: HTTP.port, protocol: TCP };
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
    for (let pod = pods - 1; pod >= 0; pod -= podStep) if (!this.knows(podOf(pod))) return false;
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
