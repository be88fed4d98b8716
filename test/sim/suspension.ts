/** A process that can be stopped (SIGSTOP) and continued: time goes on, but nothing that is due or arrives happens before it is continued. */
import type { KvClient, Watch, WatchSink } from "../../src/kv/client.ts";
import type { Clock } from "../../src/runtime/clock.ts";

export class Suspension {
  #held: (() => void)[] = [];
  #stopped = false;

  get stopped(): boolean {
    return this.#stopped;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** What is due happens now, in order. */
  resume(): void {
    this.#stopped = false;
    for (const action of this.#held.splice(0)) this.run(action);
  }

  run(action: () => void): void {
    if (this.#stopped) this.#held.push(action);
    else action();
  }

  clock(clock: Clock): Clock {
    return {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
      after: (delayMs, action) => {
        let cancelled = false;
        const timer = clock.after(delayMs, () => this.run(() => cancelled || action()));
        const cancel = (): void => {
          cancelled = true;
          timer.cancel();
        };
        return { cancel };
      },
      breathe: () => clock.breathe(),
    };
  }

  client(kv: KvClient): KvClient {
    return {
      range: (...args) => this.#answer(kv.range(...args)),
      txn: (...args) => this.#answer(kv.txn(...args)),
      watch: (request, sink): Watch => kv.watch(request, this.#sink(sink)),
      grantLease: (...args) => this.#answer(kv.grantLease(...args)),
      renewLease: (...args) => this.#answer(kv.renewLease(...args)),
      revokeLease: (...args) => this.#answer(kv.revokeLease(...args)),
      status: () => this.#answer(kv.status()),
      close: () => kv.close(),
    };
  }

  #answer<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.run(() => resolve(value)),
        (error: unknown) => this.run(() => reject(error)),
      );
    });
  }

  #sink(sink: WatchSink): WatchSink {
    return {
      created: (header) => this.run(() => sink.created(header)),
      events: (events, header) => this.run(() => sink.events(events, header)),
      progress: (header) => this.run(() => sink.progress(header)),
      ended: (end) => this.run(() => sink.ended(end)),
    };
  }
}
