/**
 * P3: from a put in a remote's etcd to the entry in the eBPF map of a node of another cluster, 100,000 addresses stored, 1,000 changes a second: etcd,
 * mirror, local etcd, agent, map. The floor is a watch of the remote whose events are written into such a map at once. The bench looks into the maps
 * about every millisecond.
 */
import assert from "node:assert/strict";
import type { KernelMap } from "../src/kernel/door.ts";
import { encodeIpcacheKey, encodeIpcacheValue, IPCACHE_MAP } from "../src/maps/ipcache-map.ts";
import { parseAddress } from "../src/model/address.ts";
import { identityRange } from "../src/model/cluster.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { equalBytes } from "../src/tables/desired-map.ts";
import { judge, resource } from "../src/wire/resources.ts";
import type { TestEtcd } from "../test/support/etcd.ts";
import { AgentStage, endpointMaps } from "./agent-stage.ts";
import { announcedToAgents, changedPod, type Pod } from "./cached-remote.ts";
import { percentile, printFigures } from "./goal-line.ts";
import { entriesOf, OWN, REMOTE } from "./mesh-data.ts";
import { filledEtcd, MirrorStage, until, watchPrefix } from "./mirror-stage.ts";
import { encodePuts, RawEtcd } from "./raw-etcd.ts";
import { BenchStage } from "./stage.ts";

const PODS = 100_000;
const CAPACITY = 131_072;
const PER_S = 1_000;
const SECONDS = 15;
const CHANGES = PER_S * SECONDS;
const IDENTITIES = PODS / 20;
const GOAL_P99_MS = 25;
const TICK_MS = 1;
/** Of those not seen yet, the oldest: all of them where the subject keeps up. */
const LOOKED_AT = 200;
const LEAST_RATE = 0.98;
const MOST_UNANSWERED = 1_000;
const LATE_MS = 30_000;
const SETTLE_MS = 3_000;

interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

function entryOf({ address, identity }: Pod): Entry {
  const bytes = parseAddress(address) ?? assert.fail(address);
  return {
    key: encodeIpcacheKey({ address: bytes }),
    value: encodeIpcacheValue({ identity, clusterId: REMOTE.id }),
  };
}

/** With another identity of those that the remote has: a mirror holds back what is of none. */
function podOfAnother(number: number): ReturnType<typeof changedPod> {
  const { first } = identityRange(REMOTE.id);
  return changedPod(number, first + ((Math.floor(number / 20) + 1 + (number % 1_000)) % IDENTITIES));
}

interface Outcome {
  /** Written and acknowledged, a second. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Writes changes at their rate, and looks for each in the map. */
class Course {
  readonly #map: KernelMap;
  readonly #raw: RawEtcd;
  readonly #frames: readonly Uint8Array[];
  readonly #wanted: readonly Entry[];
  readonly #sentMs: number[] = [];
  #answered = 0;
  #answeredMs = 0;
  #unseen: number[] = [];
  readonly #latenciesMs: number[] = [];

  /** @param firstPod others than those of the course before. */
  constructor(map: KernelMap, raw: RawEtcd, firstPod: number) {
    const pods = Array.from({ length: CHANGES }, (_, index) => podOfAnother(firstPod + index));
    this.#map = map;
    this.#raw = raw;
    this.#frames = pods.map(({ stateKey: key, value }) => encodePuts([{ key, value }]));
    this.#wanted = pods.map(entryOf);
  }

  async run(): Promise<Outcome> {
    const fromMs = systemClock.nowMs();
    const deadlineMs = fromMs + SECONDS * 1000 + LATE_MS;
    while (this.#latenciesMs.length < CHANGES) {
      if (systemClock.nowMs() > deadlineMs)
        throw new Error(`only ${this.#latenciesMs.length} changes came into the map`);
      this.#send(Math.floor(((systemClock.nowMs() - fromMs) * PER_S) / 1000) + 1);
      this.#look();
      await sleep(systemClock, TICK_MS);
    }
    const rate = (CHANGES * 1000) / (this.#answeredMs - fromMs);
    return { rate, p50Ms: percentile(this.#latenciesMs, 0.5), p99Ms: percentile(this.#latenciesMs, 0.99) };
  }

  #send(due: number): void {
    const until = Math.min(due, CHANGES, this.#answered + MOST_UNANSWERED);
    for (let index = this.#sentMs.length; index < until; index++) {
      this.#sentMs.push(systemClock.nowMs());
      this.#unseen.push(index);
      void this.#raw.txn(this.#frames[index] as Uint8Array).then(() => {
        this.#answered++;
        this.#answeredMs = systemClock.nowMs();
      });
    }
  }

  #look(): void {
    const late = this.#unseen.splice(0, LOOKED_AT).filter((index) => {
      const { key, value } = this.#wanted[index] as Entry;
      const seen = equalBytes(this.#map.lookup(key), value);
      if (seen) this.#latenciesMs.push(systemClock.nowMs() - (this.#sentMs[index] ?? Number.NaN));
      return !seen;
    });
    this.#unseen = [...late, ...this.#unseen];
  }
}

/** Writes what the remote's etcd tells into `map`. */
async function relay(remote: TestEtcd, map: KernelMap): Promise<() => void> {
  const kv = remote.connect();
  const prefix = resource("ip").statePrefix(REMOTE.name);
  await watchPrefix(kv, prefix, (events) => {
    const entries = events.flatMap((event) => {
      if (event.type !== "put") return [];
      const judged = judge("ip", REMOTE, event.kv.key.slice(prefix.length), event.kv.value);
      return judged.ok ? [entryOf(judged.value)] : [];
    });
    const [keys, values] = [entries.map(({ key }) => key), entries.map(({ value }) => value)];
    void map.update({ count: entries.length, keys: Buffer.concat(keys), values: Buffer.concat(values) });
  });
  return () => kv.close();
}

async function floorOf(remote: TestEtcd, raw: RawEtcd, pods: BenchStage): Promise<Outcome> {
  const object = await endpointMaps(`${pods.pins}-floor`);
  const map = object.maps.get(IPCACHE_MAP.name) ?? assert.fail("no ipcache");
  const stop = await relay(remote, map);
  const outcome = await new Course(map, raw, 0).run();
  stop();
  object.close();
  return outcome;
}

/** Mirror and agent are up, and the map holds the last of the addresses. */
async function mirroredMap(mirror: MirrorStage, agent: AgentStage): Promise<KernelMap> {
  const local = new RawEtcd(mirror.local.endpoint);
  await local.txn(encodePuts(announcedToAgents([OWN.name])));
  local.close();
  await mirror.lead();
  await mirror.mirrored();
  agent.start();
  const map = await until("the agent has maps", () => agent.map(IPCACHE_MAP.name));
  const { key } = entryOf(podOfAnother(PODS - 1));
  await until("the addresses are in the map", async () => map.lookup(key));
  await sleep(systemClock, SETTLE_MS);
  return map;
}

export async function putToMap(json: boolean): Promise<void> {
  const pods = new BenchStage();
  const remote = await filledEtcd(entriesOf(PODS));
  const raw = new RawEtcd(remote.endpoint);
  const mirror = await MirrorStage.open(remote);
  const agent = new AgentStage(pods, "agent", mirror.local.endpoint, CAPACITY);
  try {
    const floor = await floorOf(remote, raw, pods);
    const subject = await new Course(await mirroredMap(mirror, agent), raw, CHANGES).run();
    const slow = [floor, subject].find(({ rate }) => rate < LEAST_RATE * PER_S);
    printFigures(
      {
        ...{ id: "P3", unit: "ms(p99)", value: subject.p99Ms, floor: floor.p99Ms, ratio: subject.p99Ms / floor.p99Ms },
        goal: `p99<=${GOAL_P99_MS}`,
        reached: subject.p99Ms <= GOAL_P99_MS,
        invalid: slow && `only ${Math.round(slow.rate)} changes/s were written`,
        costs: agent.costs(),
        beside: { changesPerS: subject.rate, p50Ms: subject.p50Ms, floorP50Ms: floor.p50Ms },
      },
      json,
    );
  } finally {
    await agent.close();
    raw.close();
    await mirror.close();
    await remote.end();
    pods.close();
  }
}
