/** What was made of objects that are still the same: at 50,000 pods a change makes the entries of one anew, not of all. Pure. */
import type { Desired } from "./parts.ts";

interface Made {
  /** What else it was made of. */
  readonly inputs: readonly unknown[];
  readonly desired: readonly Desired[];
}

export class Memo {
  readonly #made = new WeakMap<object, Made>();

  /** What `make` says of `object`, or what it said last if all `inputs` are still the same. It may depend on nothing else. */
  of(object: object, inputs: readonly unknown[], make: () => Iterable<Desired>): readonly Desired[] {
    const known = this.#made.get(object);
    if (known?.inputs.every((input, index) => input === inputs[index])) return known.desired;
    const desired = [...make()];
    this.#made.set(object, { inputs, desired });
    return desired;
  }
}
