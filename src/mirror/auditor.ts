/** When to audit a remote that is being watched, and what to leave out. */
import type { KvClient } from "../kv/client.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import type { Resource, ResourceKind } from "../wire/resources.ts";
import { audit } from "./audit.ts";
import type { RemoteRecord } from "./record.ts";

export interface AuditorOptions {
  readonly kv: KvClient;
  readonly record: RemoteRecord;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly pageSize: number;
  readonly auditIntervalMs: number;
  /** The watch was taken up again: nothing was compared yet. */
  readonly resumed: boolean;
  /** What is followed: kind and its prefix at the remote. */
  readonly ranges: readonly { readonly kind: Resource; readonly prefix: string }[];
}

/** Between two pages of 1,000 keys: an audit of 350,000 keys takes 20 s, far less than any etcd keeps its history. */
const PAUSE_MS = 50;

export class Auditor {
  readonly #options: AuditorOptions;
  /** `kind suffix` of what changed since the running audit began; absent: none runs. */
  #touched: Set<string> | undefined;
  #nextMs: number;

  constructor(options: AuditorOptions) {
    this.#options = options;
    this.#nextMs = this.#later(options.resumed);
  }

  /** The key changed. */
  touch(kind: ResourceKind, suffix: string): void {
    this.#touched?.add(`${kind} ${suffix}`);
  }

  /** Every watch stands at `revision` and nothing beyond it was applied. Resolves to what is wrong, or to undefined. */
  async joint(revision: number): Promise<string | undefined> {
    const { clock, signal, kv, record, log } = this.#options;
    if (this.#touched || signal.aborted || clock.nowMs() < this.#nextMs) return undefined;
    this.#touched = new Set();
    try {
      const found = await audit(kv, revision, this.#ranges(this.#touched), { ...this.#options, pauseMs: PAUSE_MS });
      if (found === "same") record.audited = true;
      if (found === "same" || found === "aborted") return undefined;
      record.audited = false;
      log.warn({ remote: record.name, difference: found }, "an audit found what the watch had lost");
      return `its watch had lost something: ${found}`;
    } catch (error) {
      log.debug({ remote: record.name, reason: messageOf(error) }, "audit not finished");
      return undefined;
    } finally {
      this.#touched = undefined;
      this.#nextMs = this.#later(false);
    }
  }

  /** After half an interval to one and a half; `soon`: within half of one. */
  #later(soon: boolean): number {
    const { clock, random, auditIntervalMs } = this.#options;
    const share = soon ? random.next() / 2 : 0.5 + random.next();
    return clock.nowMs() + auditIntervalMs * share;
  }

  #ranges(touched: ReadonlySet<string>) {
    const { ranges, record } = this.#options;
    return ranges.map(({ kind, prefix }) => {
      const cachePrefix = kind.cachePrefix(record.name);
      return {
        prefix,
        knownRevision: (suffix: string) => record.index.get(kind.kind, cachePrefix + suffix)?.modRevision,
        expected: record.index.present(kind.kind),
        touched: (suffix: string) => touched.has(`${kind.kind} ${suffix}`),
      };
    });
  }
}
