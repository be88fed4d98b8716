/** The etcd door on a real server, by etcd3's raw clients; none of its own retries, resumption or circuit breaking. */
import type { Etcd3 } from "etcd3";
import { Slices, systemClock } from "../runtime/clock.ts";
import {
  type CallOptions,
  type ConnectOptions,
  type KvClient,
  KvError,
  type RangeRequest,
  type RangeResponse,
  type ServerStatus,
  type TxnRequest,
  type TxnResponse,
  type Watch,
  type WatchRequest,
  type WatchSink,
} from "./client.ts";
import { asBytes, bytesAsBytes, readRangeResponse, readTxnResponse } from "./etcd-answers.ts";
import { Endpoints } from "./etcd-endpoints.ts";
import { toKvError } from "./etcd-errors.ts";
import { encodeTxn } from "./etcd-requests.ts";
import { fromRange, toHeader, toNumber } from "./etcd-values.ts";
import { WatchStream } from "./etcd-watch.ts";

/** @throws UserError when the endpoints make no sense. */
export function connectEtcd(options: ConnectOptions): KvClient {
  return new EtcdClient(options);
}

/** What a call is made with: gRPC wants the deadline as wall clock milliseconds. */
interface Call {
  readonly deadline: number;
}

const AS_BYTES = [asBytes];
/** Stands for a request that is bytes already. */
const NO_TXN = {};

class EtcdClient implements KvClient {
  readonly #timeoutMs: number;
  readonly #calls: Endpoints;
  /** Apart from the calls: etcd3 closes all connections of a client when one of its streams fails. */
  readonly #watching: Endpoints;
  readonly #pending = new Set<() => void>();
  #stream: WatchStream | undefined;
  #closed = false;

  constructor(options: ConnectOptions) {
    this.#timeoutMs = options.timeoutMs;
    this.#calls = new Endpoints(options);
    this.#watching = new Endpoints(options);
  }

  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    return this.#call(false, options, async (etcd, call) => {
      const answer: unknown = await etcd.kv.range(fromRange(request), { ...call, interceptors: AS_BYTES });
      return await readRangeResponse(answer as Buffer, new Slices(systemClock));
    });
  }

  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    return this.#call(true, options, async (etcd, call) => {
      const interceptors = [bytesAsBytes(encodeTxn(request))];
      const answer: unknown = await etcd.kv.txn(NO_TXN, { ...call, interceptors });
      return readTxnResponse(answer as Buffer);
    });
  }

  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: bigint; readonly ttlSeconds: number }> {
    return this.#call(true, undefined, async (etcd, call) => {
      const response = await etcd.leaseClient.leaseGrant({ TTL: ttlSeconds }, call);
      return { leaseId: BigInt(response.ID), ttlSeconds: toNumber(response.TTL) };
    });
  }

  renewLease(leaseId: bigint): Promise<number> {
    return this.#call(true, undefined, (etcd, call) => renewOnce(etcd, leaseId, call));
  }

  revokeLease(leaseId: bigint): Promise<void> {
    return this.#call(true, undefined, async (etcd, call) => {
      await etcd.leaseClient.leaseRevoke({ ID: String(leaseId) }, call);
    });
  }

  status(): Promise<ServerStatus> {
    return this.#call(false, undefined, async (etcd, call) => {
      const response = await etcd.maintenance.status(call);
      return { ...toHeader(response.header), version: response.version, dbSizeBytes: toNumber(response.dbSize) };
    });
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    if (this.#closed) {
      queueMicrotask(() => sink.ended({ cause: "broken", detail: "the client is closed" }));
      return { requestProgress: () => undefined, cancel: () => undefined };
    }
    this.#stream ??= this.#openStream();
    return this.#stream.add(request, sink);
  }

  #openStream(): WatchStream {
    const etcd = this.#watching.current;
    const stream: WatchStream = new WatchStream(
      () => etcd.watchClient.watch(),
      this.#timeoutMs,
      () => {
        if (this.#stream === stream) this.#stream = undefined;
        this.#watching.failed(etcd);
      },
    );
    return stream;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const cancel of [...this.#pending]) cancel();
    this.#stream?.break("the client was closed");
    this.#watching.close();
    this.#calls.close();
  }

  async #call<T>(
    write: boolean,
    options: CallOptions | undefined,
    run: (etcd: Etcd3, call: Call) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw new KvError("canceled", "the client is closed", false);
    const etcd = this.#calls.current;
    const { promise: closed, reject } = Promise.withResolvers<never>();
    const cancel = (): void => reject(new KvError("canceled", "the client was closed", write));
    this.#pending.add(cancel);
    try {
      const deadline = systemClock.wallMs() + (options?.timeoutMs ?? this.#timeoutMs);
      return await Promise.race([run(etcd, { deadline }), closed]);
    } catch (error) {
      const failure = toKvError(error, write);
      if (failure.code === "unavailable" || failure.code === "deadline") this.#calls.failed(etcd);
      throw failure;
    } finally {
      this.#pending.delete(cancel);
    }
  }
}

/** One renewal over a stream of its own: the only way to get an answer that belongs to the question. */
async function renewOnce(etcd: Etcd3, leaseId: bigint, call: Call): Promise<number> {
  const stream = await etcd.leaseClient.leaseKeepAlive(call);
  return new Promise((resolve, reject) => {
    stream.on("error", reject);
    stream.on("end", () => reject(new KvError("unavailable", "the server ended the lease stream", true)));
    stream.on("data", (response) => {
      resolve(toNumber(response.TTL));
      stream.end();
    });
    stream.write({ ID: String(leaseId) });
  });
}
