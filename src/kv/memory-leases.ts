/** Leases of the in-memory etcd: granted and renewed on the clock, with the keys that hang on them. */
import type { Clock, Timer } from "../runtime/clock.ts";
import type { WatchEvent } from "./client.ts";
import { KvError } from "./client.ts";

interface Lease {
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
  timer: Timer | undefined;
}

/** What a snapshot keeps: TTLs and keys. Time left is not kept: a restarted etcd gives every lease its whole TTL again. */
export type SavedLeases = ReadonlyMap<bigint, { readonly ttlSeconds: number; readonly keys: ReadonlySet<string> }>;

export class MemoryLeases {
  readonly #clock: Clock;
  readonly #minTtlSeconds: number;
  /** Removes the keys of an expired lease. */
  readonly #expired: (leaseId: bigint) => void;
  #leases = new Map<bigint, Lease>();
  readonly #leaseOf = new Map<string, bigint>();
  #lastId = 0x7000_0000_0000_0000n;

  constructor(clock: Clock, minTtlSeconds: number, expired: (leaseId: bigint) => void) {
    this.#clock = clock;
    this.#minTtlSeconds = minTtlSeconds;
    this.#expired = expired;
  }

  grant(wantedSeconds: number): { leaseId: bigint; ttlSeconds: number } {
    const ttlSeconds = Math.max(this.#minTtlSeconds, wantedSeconds);
    this.#lastId += 1n;
    const lease: Lease = { ttlSeconds, keys: new Set(), timer: undefined };
    this.#leases.set(this.#lastId, lease);
    this.#arm(this.#lastId, lease);
    return { leaseId: this.#lastId, ttlSeconds };
  }

  #arm(leaseId: bigint, lease: Lease): void {
    lease.timer?.cancel();
    lease.timer = this.#clock.after(lease.ttlSeconds * 1000, () => {
      lease.timer = undefined;
      this.#expired(leaseId);
    });
  }

  /** The TTL, or 0 when the lease is gone. */
  renew(leaseId: bigint): number {
    const lease = this.#leases.get(leaseId);
    if (!lease) return 0;
    this.#arm(leaseId, lease);
    return lease.ttlSeconds;
  }

  /** Forgets the lease; returns its keys, sorted. */
  revoke(leaseId: bigint): readonly string[] {
    const lease = this.#get(leaseId);
    lease.timer?.cancel();
    this.#leases.delete(leaseId);
    return [...lease.keys].sort();
  }

  /** Refuses a lease that is gone; none at all is fine. */
  require(leaseId: bigint | undefined): void {
    if (leaseId) this.#get(leaseId);
  }

  /** Whether the time of a lease ran out and nobody renewed it since. */
  isOverdue(leaseId: bigint): boolean {
    const lease = this.#leases.get(leaseId);
    return lease !== undefined && lease.timer === undefined;
  }

  #get(leaseId: bigint): Lease {
    const lease = this.#leases.get(leaseId);
    if (!lease) throw new KvError("lease-not-found", "etcdserver: requested lease not found");
    return lease;
  }

  /** Keeps the keys of the leases in step with what was written. */
  applied(events: readonly WatchEvent[]): void {
    for (const event of events) {
      const key = event.type === "put" ? event.kv.key : event.key;
      this.#leases.get(this.#leaseOf.get(key) ?? 0n)?.keys.delete(key);
      this.#leaseOf.delete(key);
      if (event.type !== "put" || event.kv.leaseId === 0n) continue;
      this.#leases.get(event.kv.leaseId)?.keys.add(key);
      this.#leaseOf.set(key, event.kv.leaseId);
    }
  }

  save(): SavedLeases {
    return new Map([...this.#leases].map(([id, { ttlSeconds, keys }]) => [id, { ttlSeconds, keys: new Set(keys) }]));
  }

  /** Time stands still: the server is down. */
  freeze(): void {
    for (const lease of this.#leases.values()) lease.timer?.cancel();
  }

  /** Replaces all leases; each begins with its whole TTL. */
  load(saved: SavedLeases): void {
    this.freeze();
    this.#leases = new Map(
      [...saved].map(([id, { ttlSeconds, keys }]) => [id, { ttlSeconds, keys: new Set(keys), timer: undefined }]),
    );
    this.#leaseOf.clear();
    for (const [id, lease] of this.#leases) {
      for (const key of lease.keys) this.#leaseOf.set(key, id);
      this.#arm(id, lease);
    }
  }
}
