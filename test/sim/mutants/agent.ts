/** Mutants of the agent: what it makes of its local etcd. */
import type { KeyValue, KvClient } from "../../../src/kv/client.ts";
import { encodeTime } from "../../../src/runtime/clock.ts";
import { canaryKey, KVSTOREMESH_LOCK_PREFIX, PEER_GRADES_KEY, SYNCED_PREFIX } from "../../../src/wire/keys.ts";
import { encodeGrades, judgeGrades, MAX_INTERVAL_MS } from "../../../src/wire/peers.ts";
import { RESOURCES } from "../../../src/wire/resources.ts";
import { passing } from "../doors.ts";
import { localCanaries } from "../sim-cluster.ts";
import { type Mutant, mutant, shownBy } from "./mutant.ts";
import { added } from "./remote.ts";

/** Each time later: as if the writers of canaries had just compared everything. */
class LaterTimes {
  #year = 2030;

  next(): Uint8Array {
    return encodeTime(Date.parse(`${this.#year++}-01-01T00:00:00Z`));
  }
}

/** L11: whatever the local etcd lists is taken for all. */
function agentBelieves(client: KvClient): KvClient {
  const clusters = ["amsterdam", "osaka", "virginia"];
  const canaries = clusters.flatMap((cluster) => [
    ...RESOURCES.flatMap((kind) => [canaryKey(cluster, kind.cacheCanary), canaryKey(cluster, kind.stateCanary)]),
    ...localCanaries(cluster),
  ]);
  return trustingCanaries(client, (kvs) => added(kvs, canaries));
}

/** L11b: every canary that is listed seems to have been written just now, a backup's too. */
function agentTrustsBackups(client: KvClient): KvClient {
  return trustingCanaries(client, (kvs) => kvs);
}

/** W11b: whatever lock is listed has risen since, a backup's too. */
function agentTrustsCompacted(client: KvClient): KvClient {
  const known = new Map<string, KeyValue>();
  let rises = 1_000_000;
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      if (request.key !== `${KVSTOREMESH_LOCK_PREFIX}/`) return answer;
      // The first that was ever seen.
      for (const kv of answer.kvs) if (known.size === 0) known.set(kv.key, kv);
      const kvs = [...known.values()].map((kv) => ({ ...kv, value: new TextEncoder().encode(`${rises++}`) }));
      return { ...answer, kvs };
    },
  };
}

function trustingCanaries(client: KvClient, listed: (kvs: readonly KeyValue[]) => readonly KeyValue[]): KvClient {
  const times = new LaterTimes();
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      if (request.key !== SYNCED_PREFIX) return answer;
      const value = times.next();
      return { ...answer, kvs: listed(answer.kvs).map((kv) => ({ ...kv, value })) };
    },
  };
}

/** Silence of the mirror is no news: the last word counts for ever, also when it was only listed. */
function agentNeverDoubts(client: KvClient): KvClient {
  const lasting = (bytes: Uint8Array, more = 0): Uint8Array => {
    const judged = judgeGrades(PEER_GRADES_KEY, bytes);
    if (!judged.ok) return bytes;
    return encodeGrades({ ...judged.value, sequence: judged.value.sequence + more, intervalMs: MAX_INTERVAL_MS });
  };
  const of = (kv: KeyValue, more = 0): KeyValue =>
    kv.key === PEER_GRADES_KEY ? { ...kv, value: lasting(kv.value, more) } : kv;
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      return { ...answer, kvs: answer.kvs.map((kv) => of(kv)) };
    },
    watch(request, sink) {
      const events: typeof sink.events = (all, header) =>
        sink.events(
          all.map((event) => (event.type === "put" ? { ...event, kv: of(event.kv) } : event)),
          header,
        );
      const created: typeof sink.created = (header) => {
        sink.created(header);
        if (request.key !== PEER_GRADES_KEY) return;
        void client.range({ key: PEER_GRADES_KEY }).then(
          ({ kvs: [kv] }) => {
            if (kv) sink.events([{ type: "put", kv: { ...of(kv, 1), modRevision: header.revision + 1 } }], header);
          },
          () => undefined,
        );
      };
      return client.watch(request, { ...sink, created, events });
    },
  };
}

export const AGENT_MUTANTS: readonly Mutant[] = [
  mutant("the agent prunes without canary", "I2", 12, { agent: () => agentBelieves }),
  shownBy("L11,L11b", mutant("the agent takes a restored etcd for all", "I2", 1, { agent: () => agentTrustsBackups })),
  {
    ...mutant("the agent takes a compacted etcd for all", "I2", 79, { agent: () => agentTrustsCompacted }),
    faults: "W13,W11b",
  },
  mutant("the agent never doubts the mirror's last word", "I12", 3, { agent: () => agentNeverDoubts }),
];
