/** Any etcd client, with a stopwatch: how long calls took, and for how long they have been failing. */
import type { Clock } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import {
  type CallOptions,
  type KvClient,
  KvError,
  type KvErrorCode,
  type Operation,
  type RangeRequest,
  type RangeResponse,
  type ServerStatus,
  type TxnRequest,
  type TxnResponse,
  type Watch,
  type WatchRequest,
  type WatchSink,
} from "./client.ts";
import { keyScope } from "./key-scope.ts";

/** In the words of Cilium's metric of them. */
export interface MeasuredCall {
  readonly scope: string;
  readonly kind: "read" | "set" | "delete";
  readonly action: string;
  readonly outcome: "success" | "fail";
  readonly durationMs: number;
}

type Call = Pick<MeasuredCall, "scope" | "kind" | "action">;

/** The server cannot be reached, or lets nobody in. Any other error is an answer. */
const NO_ANSWER: ReadonlySet<KvErrorCode> = new Set(["unavailable", "deadline", "unauthenticated", "denied"]);

const leaseCall = (action: string): Call => ({ scope: "lease", kind: "set", action });

function rangeCall({ key, rangeEnd }: RangeRequest): Call {
  return { scope: keyScope(key), kind: "read", action: rangeEnd === undefined ? "Get" : "ListPrefix" };
}

/** A transaction is what its first operation is. */
function txnCall({ operations: [first] }: TxnRequest): Call {
  const scopeOf = (operation: Operation | undefined): string => {
    if (operation === undefined) return "";
    return keyScope("put" in operation ? operation.put.key : operation.delete.key);
  };
  const scope = scopeOf(first);
  return first && "delete" in first
    ? { scope, kind: "delete", action: "Delete" }
    : { scope, kind: "set", action: "Update" };
}

export class MeasuredKv implements KvClient {
  readonly #client: KvClient;
  readonly #clock: Clock;
  readonly #observe: (call: MeasuredCall) => void;
  #failing: { readonly sinceMs: number; readonly line: string } | undefined;

  constructor(client: KvClient, clock: Clock, observe: (call: MeasuredCall) => void) {
    this.#client = client;
    this.#clock = clock;
    this.#observe = observe;
  }

  /** For how long no call was answered, and why; undefined while they are. */
  get silence(): { readonly ms: number; readonly line: string } | undefined {
    return this.#failing && { ms: this.#clock.nowMs() - this.#failing.sinceMs, line: this.#failing.line };
  }

  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    return this.#measure(rangeCall(request), () => this.#client.range(request, options));
  }

  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    return this.#measure(txnCall(request), () => this.#client.txn(request, options));
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    return this.#client.watch(request, sink);
  }

  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: bigint; readonly ttlSeconds: number }> {
    return this.#measure(leaseCall("GrantLease"), () => this.#client.grantLease(ttlSeconds));
  }

  renewLease(leaseId: bigint): Promise<number> {
    return this.#measure(leaseCall("RenewLease"), () => this.#client.renewLease(leaseId));
  }

  revokeLease(leaseId: bigint): Promise<void> {
    return this.#measure(leaseCall("RevokeLease"), () => this.#client.revokeLease(leaseId));
  }

  status(): Promise<ServerStatus> {
    return this.#client.status();
  }

  close(): void {
    this.#client.close();
  }

  async #measure<T>(call: Call, run: () => Promise<T>): Promise<T> {
    const startMs = this.#clock.nowMs();
    const done = (outcome: MeasuredCall["outcome"]): void =>
      this.#observe({ ...call, outcome, durationMs: this.#clock.nowMs() - startMs });
    try {
      const answer = await run();
      this.#failing = undefined;
      done("success");
      return answer;
    } catch (error) {
      done("fail");
      this.#judge(error, startMs);
      throw error;
    }
  }

  /** A call that fails late has been failing since it was made. */
  #judge(error: unknown, startMs: number): void {
    if (!(error instanceof KvError) || error.code === "canceled") return;
    if (NO_ANSWER.has(error.code)) this.#failing ??= { sinceMs: startMs, line: messageOf(error) };
    else this.#failing = undefined;
  }
}
