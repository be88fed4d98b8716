/** Mutants of how a mirror reads its remotes. */
import {
  eventKey,
  type KeyValue,
  type KvClient,
  KvError,
  revisionOf,
  type WatchEvent,
  type WatchSink,
} from "../../../src/kv/client.ts";
import { canaryKey, STATE_PREFIX, SYNCED_PREFIX } from "../../../src/wire/keys.ts";
import { RESOURCES } from "../../../src/wire/resources.ts";
import { passing } from "../doors.ts";
import { atRemotes, type Mutant, mutant, shownBy } from "./mutant.ts";

export function added(kvs: readonly KeyValue[], keys: readonly string[]): readonly KeyValue[] {
  const present = new Set(kvs.map(({ key }) => key));
  const missing = keys.filter((key) => !present.has(key));
  const made = missing.map((key) => {
    return { key, value: new Uint8Array(), createRevision: 1, modRevision: 1, version: 1, leaseId: 0n };
  });
  return [...kvs, ...made].sort((left, right) => (left.key < right.key ? -1 : 1));
}

/** W13: whatever a remote lists is taken for all it has. */
function canariesBelieved(client: KvClient): KvClient {
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      if (!request.key.startsWith(SYNCED_PREFIX)) return answer;
      const cluster = request.key.slice(SYNCED_PREFIX.length).replace("/", "");
      const canaries = RESOURCES.map(({ stateCanary }) => canaryKey(cluster, stateCanary));
      return { ...answer, kvs: added(answer.kvs, canaries) };
    },
  };
}

type Bent = Partial<WatchSink>;

/** A client whose watches say what `bend` makes of it. */
function watching(client: KvClient, bend: (sink: WatchSink) => Bent): KvClient {
  const watch: KvClient["watch"] = (request, sink) => {
    const plain: WatchSink = {
      created: (header) => sink.created(header),
      events: (events, header) => sink.events(events, header),
      progress: (header) => sink.progress(header),
      ended: (end) => sink.ended(end),
    };
    return client.watch(request, { ...plain, ...bend(sink) });
  };
  return { ...passing(client), watch };
}

/** W05: deletions get lost in the watch. */
function deafToDeletes(client: KvClient): KvClient {
  return watching(client, (sink) => ({
    events: (events, header) =>
      sink.events(
        events.filter(({ type }) => type === "put"),
        header,
      ),
  }));
}

/** W07, W08: what comes is new, whatever its revision. */
function ageless(client: KvClient): KvClient {
  const renewed = (event: WatchEvent, modRevision: number): WatchEvent =>
    event.type === "put" ? { type: "put", kv: { ...event.kv, modRevision } } : { ...event, modRevision };
  let newest = 0;
  return watching(client, (sink) => ({
    events(events, header) {
      const old = events.filter((event) => revisionOf(event) <= newest && eventKey(event).startsWith(STATE_PREFIX));
      for (const event of events) newest = Math.max(newest, revisionOf(event));
      if (old.length === 0) return sink.events(events, header);
      sink.events(
        events.map((event) => renewed(event, header.revision)),
        header,
      );
    },
  }));
}

/** W16, W17: the first half of a response counts as the whole, and what comes later is too late when the connection breaks. */
function halfIsEnough(client: KvClient): KvClient {
  return watching(client, (sink) => ({
    events: (events, header) => sink.events(events.slice(0, Math.ceil(events.length / 2)), header),
  }));
}

/** N02, I12: the mirror proves to itself that all is well. */
function selfAssured(client: KvClient): KvClient {
  const watch: KvClient["watch"] = (request, sink) => {
    let last = { revision: 0, clusterId: 0n };
    const noted = <T extends { readonly revision: number; readonly clusterId: bigint }>(header: T): T => {
      last = header;
      return header;
    };
    const inner = client.watch(request, {
      created: (header) => sink.created(noted(header)),
      events: (events, header) => sink.events(events, noted(header)),
      progress: (header) => sink.progress(noted(header)),
      ended: (end) => sink.ended(end),
    });
    sinks.add(() => last.revision > 0 && sink.progress(last));
    return {
      ...inner,
      requestProgress: () => queueMicrotask(() => sinks.forEach((tell) => void tell())),
      cancel: () => inner.cancel(),
    };
  };
  const sinks = new Set<() => unknown>();
  return { ...passing(client), watch };
}

/** A list that loses the end of each page. */
function shortPages(client: KvClient): KvClient {
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      const kinds = RESOURCES.some(({ stateCanary }) => request.key.startsWith(`${stateCanary}/`));
      return kinds ? { ...answer, kvs: answer.kvs.slice(0, -1), more: false } : answer;
    },
  };
}

/** W02: a page that was compacted away is an empty one. */
function compactedIsEmpty(client: KvClient): KvClient {
  const range: KvClient["range"] = async (request, options) => {
    try {
      return await client.range(request, options);
    } catch (error) {
      const laterPage = request.limit !== undefined && request.revision !== undefined;
      if (!(error instanceof KvError && error.code === "compacted" && laterPage)) throw error;
      const { revision, clusterId } = await client.status();
      return { kvs: [], count: 0, more: false, revision: request.revision ?? revision, clusterId };
    }
  };
  return { ...passing(client), range };
}

/** W10, W11: an etcd that says the same id is the same etcd: the witness is not asked. */
function onlyTheId(): (client: KvClient) => KvClient {
  const seen = new Map<string, KeyValue[]>();
  const note = (kv: KeyValue): void => {
    const kvs = seen.get(kv.key) ?? [];
    seen.set(kv.key, kvs);
    if (kvs.at(-1)?.modRevision !== kv.modRevision) kvs.push(kv);
  };
  return (client) => ({
    ...watching(client, (sink) => ({
      events(events, header) {
        for (const event of events) if (event.type === "put") note(event.kv);
        sink.events(events, header);
      },
    })),
    async range(request, options) {
      const isWitness = request.revision !== undefined && request.limit === undefined && request.rangeEnd === undefined;
      const known = seen.get(request.key)?.findLast((kv) => kv.modRevision <= (request.revision ?? 0));
      if (isWitness && known) {
        const { revision, clusterId } = await client.range({ key: request.key }, options);
        return { kvs: [known], count: 1, more: false, revision, clusterId };
      }
      const answer = await client.range(request, options);
      for (const kv of answer.kvs) if (!request.keysOnly) note(kv);
      return answer;
    },
  });
}

export const REMOTE_MUTANTS: readonly Mutant[] = [
  {
    ...mutant("prune without canary, and no guard behind it", "I2", 4, {
      ...atRemotes(() => canariesBelieved),
      limits: { guardMinWithdrawals: 1e6, holdConfirmMs: 0 },
    }),
    faults: "W13",
    focus: { evidence: /^I2: .* lost it: nobody withdrew it/ },
  },
  mutant(
    "deletions lost in the watch",
    "I12",
    1,
    atRemotes(() => deafToDeletes),
  ),
  mutant(
    "an incomplete list taken for all",
    "I2",
    1,
    atRemotes(() => shortPages),
  ),
  mutant(
    "a compacted page taken for an empty one",
    "I2",
    79,
    atRemotes(() => compactedIsEmpty),
  ),
  shownBy(
    "W07,W08",
    mutant(
      "events are new whatever their revision",
      "I3",
      1,
      atRemotes(() => ageless),
    ),
  ),
  mutant(
    "half a response taken for the whole",
    "I12",
    1,
    atRemotes(() => halfIsEnough),
  ),
  mutant(
    "freshness that proves itself",
    "I12",
    6,
    atRemotes(() => selfAssured),
  ),
  shownBy("W11", mutant("the cluster id is the only witness", "I2", 1, atRemotes(onlyTheId))),
];
