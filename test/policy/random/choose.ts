// Choices from a seeded generator.
import assert from "node:assert/strict";
import { below, type Random } from "../../../src/runtime/random.ts";

export class Choose {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Whole, both ends included. */
  between(first: number, last: number): number {
    return first + below(this.#random, last - first + 1);
  }

  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return below(this.#random, 100) < percent;
  }

  one<T>(from: readonly T[]): T {
    const found = from[below(this.#random, from.length)];
    assert(found !== undefined, "something to choose from");
    return found;
  }

  /** One to `most` different ones, in random order. */
  some<T>(from: readonly T[], most: number): T[] {
    const left = [...from];
    const count = this.between(1, Math.min(most, left.length));
    return Array.from({ length: count }, () => left.splice(below(this.#random, left.length), 1)[0] as T);
  }

  list<T>(first: number, last: number, make: (index: number) => T): T[] {
    return Array.from({ length: this.between(first, last) }, (_, index) => make(index));
  }

  /** One of the keys; its value says how often, beside the others'. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const names = Object.keys(weights) as Name[];
    let left = below(
      this.#random,
      names.reduce((sum, name) => sum + weights[name], 0),
    );
    for (const name of names) {
      left -= weights[name];
      if (left < 0) return name;
    }
    assert.fail("weights do not add up");
  }
}
