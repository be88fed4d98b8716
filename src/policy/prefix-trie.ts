/** Values by CIDR: all above one, all inside one. A node for each bit; v4 and v6 apart. */
import { type Cidr, isV4 } from "../model/address.ts";

interface Branch<T> {
  value?: T;
  zero?: Branch<T>;
  one?: Branch<T>;
}

type Side = "zero" | "one";

function* sides({ address, bits }: Cidr): Generator<Side> {
  const first = isV4(address) ? 96 : 0;
  for (let bit = first; bit < first + bits; bit++) {
    yield ((address[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1 ? "one" : "zero";
  }
}

export class PrefixTrie<T> {
  readonly #v4: Branch<T> = {};
  readonly #v6: Branch<T> = {};

  #root({ address }: Cidr): Branch<T> {
    return isV4(address) ? this.#v4 : this.#v6;
  }

  get(cidr: Cidr): T | undefined {
    let branch: Branch<T> | undefined = this.#root(cidr);
    for (const side of sides(cidr)) branch = branch?.[side];
    return branch?.value;
  }

  set(cidr: Cidr, value: T): void {
    let branch = this.#root(cidr);
    for (const side of sides(cidr)) {
      branch[side] ??= {};
      branch = branch[side];
    }
    branch.value = value;
  }

  delete(cidr: Cidr): void {
    const path: [Branch<T>, Side][] = [];
    let branch: Branch<T> | undefined = this.#root(cidr);
    for (const side of sides(cidr)) {
      if (branch === undefined) return;
      path.push([branch, side]);
      branch = branch[side];
    }
    if (branch !== undefined) delete branch.value;
    for (const [parent, side] of path.reverse()) {
      const child = parent[side];
      if (child !== undefined && (child.zero ?? child.one ?? child.value) !== undefined) return;
      delete parent[side];
    }
  }

  /** Values of `cidr` and of every CIDR that contains it, widest first. */
  *above(cidr: Cidr): Generator<T> {
    let branch: Branch<T> | undefined = this.#root(cidr);
    if (branch.value !== undefined) yield branch.value;
    for (const side of sides(cidr)) {
      branch = branch[side];
      if (branch === undefined) return;
      if (branch.value !== undefined) yield branch.value;
    }
  }

  /** Values of `cidr` and of every CIDR inside it. */
  *inside(cidr: Cidr): Generator<T> {
    let branch: Branch<T> | undefined = this.#root(cidr);
    for (const side of sides(cidr)) branch = branch?.[side];
    const open = branch === undefined ? [] : [branch];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (next.value !== undefined) yield next.value;
      if (next.one !== undefined) open.push(next.one);
      if (next.zero !== undefined) open.push(next.zero);
    }
  }
}
