/**
 * Locks of those who lead: exporter and kvstoremesh write a rising number into theirs, and end their term when it stands lower than they left it (decision
 * 0016). So a lock that stands with a higher number than the one that was known proves that its etcd went on from there.
 */
import type { KeyValue } from "../kv/client.ts";
import type { Likeness } from "./local-world.ts";

interface Lock {
  readonly createRevision: number;
  /** 1 at least: who waits for its turn writes none, nor does Cilium's. */
  readonly number: number;
}

/** By key. */
type Numbered = ReadonlyMap<string, Lock>;

const decoder = new TextDecoder();
const NUMBER = /^[1-9][0-9]{0,14}$/;

export function numberedLocks(kvs: readonly KeyValue[]): Numbered {
  const locks = new Map<string, Lock>();
  for (const { key, createRevision, value } of kvs) {
    const text = decoder.decode(value);
    if (NUMBER.test(text)) locks.set(key, { createRevision, number: Number(text) });
  }
  return locks;
}

function rose(from: Numbered, to: Numbered): boolean {
  return [...to].some(([key, { createRevision, number }]) => {
    const before = from.get(key);
    return before !== undefined && createRevision === before.createRevision && number > before.number;
  });
}

export class Locks {
  #known = new Map<string, Lock>();
  #everNumbered = false;
  /** Of the etcd that was followed before, while it is not known whether this one is the same; none, while it is known to be another. */
  #before: Numbered | undefined;

  /** Whether these say that their etcd went on from what is known; undefined: none is numbered, nor ever was. */
  prove(listed: Numbered): boolean | undefined {
    return this.#everNumbered || listed.size > 0 ? rose(this.#known, listed) : undefined;
  }

  /** Whether the etcd is the one before after all. @param shown by it now. */
  vouch(shown: Numbered = this.#known): boolean {
    return this.#before !== undefined && rose(this.#before, shown);
  }

  /** All of it was listed. @param likeness to the etcd that is known. */
  listed(locks: Numbered, likeness: Likeness): void {
    if (likeness === "other") this.#before = new Map();
    if (likeness === "unknown") this.#before ??= this.#known;
    this.#known = new Map(locks);
    this.#everNumbered ||= locks.size > 0;
  }

  put(kv: KeyValue): void {
    for (const [key, lock] of numberedLocks([kv])) this.#known.set(key, lock);
    this.#everNumbered ||= this.#known.size > 0;
  }

  delete(key: string): void {
    this.#known.delete(key);
  }

  believe(): void {
    this.#before = undefined;
  }
}
