/**
 * A client to whom time only goes forward: an answer of a store that has not come as far as one seen before the question was asked (a member that is
 * behind, or a server that was restored from a backup) is refused. Answers of another cluster id are not compared.
 */
import { type Header, type KvClient, KvError } from "./client.ts";

export function monotonicKv(client: KvClient): KvClient {
  let newest: Header | undefined;
  const checked = async <T extends Header>(call: () => Promise<T>): Promise<T> => {
    const before = newest;
    const answer = await call();
    const same = answer.clusterId === before?.clusterId;
    if (same && answer.revision < before.revision) {
      throw new KvError("unavailable", `answered from revision ${answer.revision}, after ${before.revision} was seen`);
    }
    if (newest?.clusterId !== answer.clusterId || newest.revision < answer.revision) newest = answer;
    return answer;
  };
  return {
    range: (request, options) => checked(() => client.range(request, options)),
    txn: (request, options) => checked(() => client.txn(request, options)),
    status: () => checked(() => client.status()),
    watch: (request, sink) => client.watch(request, sink),
    grantLease: (ttlSeconds) => client.grantLease(ttlSeconds),
    renewLease: (leaseId) => client.renewLease(leaseId),
    revokeLease: (leaseId) => client.revokeLease(leaseId),
    close: () => client.close(),
  };
}
