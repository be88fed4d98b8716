/** Any etcd client, with faults between it and its user: delays, refusals, lost answers, silence, broken watches. */
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import {
  type CallOptions,
  type KvClient,
  KvError,
  type RangeRequest,
  type RangeResponse,
  type ServerStatus,
  type TxnRequest,
  type TxnResponse,
  type Watch,
  type WatchEnd,
  type WatchRequest,
  type WatchSink,
} from "./client.ts";

/** Shares are 0..1, of calls or of watch messages. */
export interface KvFaults {
  /** Each call is delayed by up to this. */
  readonly maxDelayMs: number;
  /** Share of calls that fail without being applied. The caller cannot know that. */
  readonly refused: number;
  /** Share of calls that are applied and then fail. */
  readonly lostAnswers: number;
  /** Share of watch messages in whose place the watch breaks. */
  readonly brokenWatches: number;
  /** A half-open connection. `requests`: nothing arrives; `answers`: calls are applied, nothing comes back. Watches are held up. */
  readonly silence: "none" | "requests" | "answers";
}

export const NO_FAULTS: KvFaults = { maxDelayMs: 0, refused: 0, lostAnswers: 0, brokenWatches: 0, silence: "none" };

export interface FaultyKvOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** When a call that gets no answer fails; the deadline of the client inside should not be shorter. */
  readonly timeoutMs: number;
}

export function faultyKv(client: KvClient, options: FaultyKvOptions): FaultyKv {
  return new FaultyKv(client, options);
}

export class FaultyKv implements KvClient {
  readonly #client: KvClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #breakers = new Set<() => void>();
  #faults = NO_FAULTS;
  /** Watch messages and progress requests that wait for the silence to end, in order. */
  #held: (() => void)[] = [];

  constructor(client: KvClient, options: FaultyKvOptions) {
    this.#client = client;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Replaces the faults, from now on; silence that ends lets go what it held. */
  inject(faults: Partial<KvFaults>): void {
    this.#faults = { ...NO_FAULTS, ...faults };
    if (this.#faults.silence !== "none") return;
    for (const action of this.#held.splice(0)) action();
  }

  /** Ends every watch now, as a broken stream does. */
  breakWatches(): void {
    for (const breakOff of [...this.#breakers]) breakOff();
  }

  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    return this.#call(false, () => this.#client.range(request, options), options);
  }

  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    return this.#call(true, () => this.#client.txn(request, options), options);
  }

  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: bigint; readonly ttlSeconds: number }> {
    return this.#call(true, () => this.#client.grantLease(ttlSeconds));
  }

  renewLease(leaseId: bigint): Promise<number> {
    return this.#call(true, () => this.#client.renewLease(leaseId));
  }

  revokeLease(leaseId: bigint): Promise<void> {
    return this.#call(true, () => this.#client.revokeLease(leaseId));
  }

  status(): Promise<ServerStatus> {
    return this.#call(false, () => this.#client.status());
  }

  close(): void {
    this.#client.close();
  }

  async #call<T>(write: boolean, run: () => Promise<T>, options?: CallOptions): Promise<T> {
    const faults = this.#faults;
    const [delay, refused, lost] = [this.#random.next(), this.#random.next(), this.#random.next()];
    if (faults.maxDelayMs > 0) await sleep(this.#clock, delay * faults.maxDelayMs);
    if (faults.silence === "requests") return this.#expire(write, options);
    if (refused < faults.refused) throw new KvError("unavailable", "injected: refused", write);
    if (faults.silence === "answers") {
      run().catch(() => undefined);
      return this.#expire(write, options);
    }
    const value = await run();
    if (lost < faults.lostAnswers) throw new KvError("unavailable", "injected: answer lost", write);
    return value;
  }

  async #expire(write: boolean, options: CallOptions | undefined): Promise<never> {
    await sleep(this.#clock, options?.timeoutMs ?? this.#timeoutMs);
    throw new KvError("deadline", "injected: silence", write);
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    let over = false;
    const finish = (): void => {
      over = true;
      this.#breakers.delete(breakOff);
    };
    const end = (ended: WatchEnd): void => {
      finish();
      sink.ended(ended);
    };
    const breakOff = (): void => {
      watch.cancel();
      end({ cause: "broken", detail: "injected: stream broken" });
    };
    const pass = (action: () => void): void => this.#unlessSilent(() => over || action());
    const deliver = (action: () => void): void => {
      const broken = this.#random.next() < this.#faults.brokenWatches;
      pass(broken ? breakOff : action);
    };
    const watch = this.#client.watch(request, {
      created: (header) => deliver(() => sink.created(header)),
      events: (events, header) => deliver(() => sink.events(events, header)),
      progress: (header) => deliver(() => sink.progress(header)),
      ended: (ended) => pass(() => end(ended)),
    });
    this.#breakers.add(breakOff);
    return {
      requestProgress: () => pass(() => watch.requestProgress()),
      cancel: () => {
        finish();
        watch.cancel();
      },
    };
  }

  #unlessSilent(action: () => void): void {
    if (this.#faults.silence === "none") action();
    else this.#held.push(action);
  }
}
