/** Mutants of what a mirror does with its own etcd. */
import { type KvClient, KvError, type TxnRequest } from "../../../src/kv/client.ts";
import { CLUSTER_CONFIG_PREFIX } from "../../../src/wire/keys.ts";
import { passing } from "../doors.ts";
import { atLocal, type Mutant, mutant, shownBy } from "./mutant.ts";

const CACHE = "cilium/cache/";
const LOCK = "cilium/kvstoremesh-lock/";

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

/** L13: a write that nobody answered is taken for one that was not made. */
function certain(client: KvClient): KvClient {
  const txn: KvClient["txn"] = async (request, options) => {
    try {
      return await client.txn(request, options);
    } catch (error) {
      if (error instanceof KvError && !isLockWrite(request)) throw new KvError("unavailable", error.message, false);
      throw error;
    }
  };
  return { ...passing(client), txn };
}

/** L04: a write is called done before it is. */
function optimistic(client: KvClient): KvClient {
  let newest = { revision: 1, clusterId: 0n };
  const txn: KvClient["txn"] = async (request, options) => {
    if (isLockWrite(request)) return client.txn(request, options);
    try {
      const answer = await client.txn(request, options);
      newest = answer;
      return answer;
    } catch {
      return { ...newest, succeeded: true, deleted: 0 };
    }
  };
  return { ...passing(client), txn };
}

/** S01: who had an id first is forgotten with the process. */
function forgetsIds(client: KvClient): KvClient {
  const range: KvClient["range"] = async (request, options) => {
    const answer = await client.range(request, options);
    return request.key === CLUSTER_CONFIG_PREFIX ? { ...answer, kvs: [], count: 0 } : answer;
  };
  return { ...passing(client), range };
}

export const LOCAL_MUTANTS: readonly Mutant[] = [
  mutant(
    "mirrored keys under a lease",
    "lease",
    1,
    atLocal(() => leased),
  ),
  mutant(
    "diff against memory only",
    "I1",
    3,
    atLocal(() => memoryOnly),
  ),
  mutant(
    "writes without fence",
    "I6",
    1,
    atLocal(() => unfenced),
  ),
  shownBy(
    "L13",
    mutant(
      "a fence that does not move",
      "I3",
      117,
      atLocal(() => unmovedFence),
    ),
  ),
  shownBy(
    "L13",
    mutant(
      "a late write is taken for none",
      "I3",
      52,
      atLocal(() => certain),
    ),
  ),
  mutant(
    "writes are called done before they are",
    "I12",
    7,
    atLocal(() => optimistic),
  ),
  mutant(
    "ids of clusters are forgotten with the process",
    "I5",
    27,
    atLocal(() => forgetsIds),
  ),
];
