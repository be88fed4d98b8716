/** Known-bad designs, made by bending the doors of the real code: the simulation must notice each of them. */
import type { KeyValue, KvClient, TxnRequest, WatchSink } from "../../src/kv/client.ts";
import { canaryKey, SYNCED_PREFIX } from "../../src/wire/keys.ts";
import { RESOURCES } from "../../src/wire/resources.ts";
import { passing, sameClient, type Warp } from "./doors.ts";
import type { Warps } from "./processes.ts";
import { localCanaries } from "./sim-cluster.ts";

export interface Mutant {
  readonly name: string;
  /** What must be violated. */
  readonly invariant: string;
  readonly warps: Warps;
}

const CACHE = "cilium/cache/";
const LOCK = "cilium/kvstoremesh-lock/";

const same = (): Warp => sameClient;

function isLockWrite(request: TxnRequest): boolean {
  return request.operations.some((operation) => "put" in operation && operation.put.key.startsWith(LOCK));
}

/** L06: mirrored keys hang on the leader's lease. */
function leased(client: KvClient): KvClient {
  let leaseId = 0n;
  return {
    ...passing(client),
    async grantLease(ttlSeconds) {
      const lease = await client.grantLease(ttlSeconds);
      leaseId = lease.leaseId;
      return lease;
    },
    txn: (request, options) =>
      client.txn(
        {
          ...request,
          operations: request.operations.map((operation) =>
            "put" in operation && operation.put.key.startsWith(CACHE)
              ? { put: { ...operation.put, leaseId } }
              : operation,
          ),
        },
        options,
      ),
  };
}

/** L05: a diff against what this process wrote, instead of what is there. */
function memoryOnly(client: KvClient): KvClient {
  const written = new Set<string>();
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      if (!request.key.startsWith(CACHE)) return answer;
      return { ...answer, kvs: answer.kvs.filter(({ key }) => written.has(key)) };
    },
    txn(request, options) {
      for (const operation of request.operations) if ("put" in operation) written.add(operation.put.key);
      return client.txn(request, options);
    },
  };
}

/** L09: nobody asks who leads. */
function unfenced(client: KvClient): KvClient {
  const txn: KvClient["txn"] = (request, options) =>
    client.txn(isLockWrite(request) ? request : { operations: request.operations }, options);
  return { ...passing(client), txn };
}

/** L13: a fence that does not move: the lock's create_revision. */
function unmovedFence(client: KvClient): KvClient {
  const created = new Map<string, number>();
  const txn: KvClient["txn"] = async (request, options) => {
    const [compare] = request.compare ?? [];
    const create = compare && created.get(compare.key);
    if (compare?.target === "mod" && create !== undefined) {
      return client.txn({ ...request, compare: [{ key: compare.key, target: "create", equal: create }] }, options);
    }
    const answer = await client.txn(request, options);
    if (compare?.target === "create" && compare.equal === 0) created.set(compare.key, answer.revision);
    return answer;
  };
  return { ...passing(client), txn };
}

function added(kvs: readonly KeyValue[], keys: readonly string[]): readonly KeyValue[] {
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

/** The same in the agent, for its local etcd. */
function agentBelieves(client: KvClient): KvClient {
  const clusters = ["amsterdam", "osaka", "virginia"];
  const canaries = clusters.flatMap((cluster) => [
    ...RESOURCES.flatMap((kind) => [canaryKey(cluster, kind.cacheCanary), canaryKey(cluster, kind.stateCanary)]),
    ...localCanaries(cluster),
  ]);
  return {
    ...passing(client),
    async range(request, options) {
      const answer = await client.range(request, options);
      return request.key === SYNCED_PREFIX ? { ...answer, kvs: added(answer.kvs, canaries) } : answer;
    },
  };
}

/** W05: deletions get lost in the watch. */
function deafToDeletes(client: KvClient): KvClient {
  const filtered = (sink: WatchSink): WatchSink => ({
    created: (header) => sink.created(header),
    events: (events, header) =>
      sink.events(
        events.filter(({ type }) => type === "put"),
        header,
      ),
    progress: (header) => sink.progress(header),
    ended: (end) => sink.ended(end),
  });
  return { ...passing(client), watch: (request, sink) => client.watch(request, filtered(sink)) };
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

const warps = (warped: Partial<Warps>): Warps => ({ mirrorLocal: same, mirrorRemote: same, agent: same, ...warped });

export const MUTANTS: readonly Mutant[] = [
  { name: "mirrored keys under a lease", invariant: "lease", warps: warps({ mirrorLocal: () => leased }) },
  { name: "diff against memory only", invariant: "I1", warps: warps({ mirrorLocal: () => memoryOnly }) },
  { name: "writes without fence", invariant: "I6", warps: warps({ mirrorLocal: () => unfenced }) },
  { name: "a fence that does not move", invariant: "I3", warps: warps({ mirrorLocal: () => unmovedFence }) },
  { name: "prune without canary", invariant: "I2", warps: warps({ mirrorRemote: () => canariesBelieved }) },
  { name: "the agent prunes without canary", invariant: "I2", warps: warps({ agent: () => agentBelieves }) },
  { name: "deletions lost in the watch", invariant: "I1", warps: warps({ mirrorRemote: () => deafToDeletes }) },
  { name: "an incomplete list taken for all", invariant: "I2", warps: warps({ mirrorRemote: () => shortPages }) },
];
