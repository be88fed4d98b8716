/** Slots of the `policies` family: what each should hold, which are taken over, and which the kernel may still use. */
import { createHash } from "node:crypto";
import { POLICY_SLOTS } from "../maps/policy-map.ts";
import { DesiredMap, type EntryKey, entryKey, keyBytes } from "../tables/desired-map.ts";

export type Dump = Iterable<readonly [key: Uint8Array, value: Uint8Array]>;

export interface Place {
  readonly slot: number;
  readonly entries: DesiredMap;
}

export class PolicySlots {
  readonly maps = new Map<number, DesiredMap>();
  /** Let go of, and not yet out of the kernel. */
  readonly #leaving = new Set<number>();
  /** Taken over and not yet claimed, by content. */
  readonly #adopted = new Map<string, number[]>();
  #next = 1;

  adopt(slot: number, dump: Dump): void {
    const entries = new DesiredMap();
    for (const [key, value] of dump) entries.set(entryKey(key), value);
    this.maps.set(slot, entries);
    const digest = digestOf(new Map(entries.entries()));
    this.#adopted.set(
      digest,
      [...(this.#adopted.get(digest) ?? []), slot].sort((left, right) => right - left),
    );
  }

  /** A slot that already holds just this, `preferred` before others, else a free one; undefined: none is free. */
  place(content: Map<EntryKey, Uint8Array>, preferred: number): Place | undefined {
    const slot = this.#claim(content, preferred) ?? this.#free();
    if (slot === undefined) return undefined;
    const entries = this.maps.get(slot) ?? new DesiredMap();
    this.maps.set(slot, entries);
    for (const [key, value] of content) entries.set(key, value);
    return { slot, entries };
  }

  release(slot: number): void {
    if (this.maps.delete(slot)) this.#leaving.add(slot);
  }

  /** Lets go of what was taken over and nobody claimed. */
  forgetAdopted(): void {
    for (const slot of [...this.#adopted.values()].flat()) this.release(slot);
    this.#adopted.clear();
  }

  /** @param isFree whether the kernel has let go of a slot. */
  released(isFree: (slot: number) => boolean): void {
    for (const slot of this.#leaving) if (isFree(slot)) this.#leaving.delete(slot);
  }

  #claim(content: Map<EntryKey, Uint8Array>, preferred: number): number | undefined {
    if (this.#adopted.size === 0) return undefined;
    const digest = digestOf(content);
    const slots = this.#adopted.get(digest) ?? [];
    const slot = slots.includes(preferred) ? preferred : slots.at(-1);
    if (slots.length > 0)
      this.#adopted.set(
        digest,
        slots.filter((one) => one !== slot),
      );
    return slot;
  }

  #free(): number | undefined {
    for (let tried = 1; tried < POLICY_SLOTS; tried++) {
      const slot = this.#next;
      this.#next = slot + 1 < POLICY_SLOTS ? slot + 1 : 1;
      if (!this.maps.has(slot) && !this.#leaving.has(slot)) return slot;
    }
    return undefined;
  }
}

function digestOf(content: Map<EntryKey, Uint8Array>): string {
  const hash = createHash("sha256");
  for (const key of [...content.keys()].sort()) hash.update(keyBytes(key)).update(content.get(key) ?? new Uint8Array());
  return hash.digest("base64url");
}
