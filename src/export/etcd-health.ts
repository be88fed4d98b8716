/** Watches the calls of an etcd client, so that the status can say when the local etcd does not answer. */
import type { KvClient } from "../kv/client.ts";
import { messageOf } from "../runtime/user-error.ts";

export class EtcdHealth {
  /** One line; undefined while the last call went through. */
  #lastError: string | undefined;

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** `kv` itself, its unary calls observed. */
  observe(kv: KvClient): KvClient {
    return {
      range: (request, options) => this.#noting(kv.range(request, options)),
      txn: (request, options) => this.#noting(kv.txn(request, options)),
      watch: (request, sink) => kv.watch(request, sink),
      grantLease: (ttlSeconds) => this.#noting(kv.grantLease(ttlSeconds)),
      renewLease: (leaseId) => this.#noting(kv.renewLease(leaseId)),
      revokeLease: (leaseId) => kv.revokeLease(leaseId),
      status: () => this.#noting(kv.status()),
      close: () => kv.close(),
    };
  }

  async #noting<T>(call: Promise<T>): Promise<T> {
    try {
      const answer = await call;
      this.#lastError = undefined;
      return answer;
    } catch (error) {
      this.#lastError = messageOf(error);
      throw error;
    }
  }
}
