/** Typed reading of a parsed document, as Go's decoder does it: absent and null both leave the zero value. */
import type { Tree } from "./json.ts";
import { type Path, quote, Refusal } from "./refusal.ts";

export const MAX_INT32 = 2 ** 31 - 1;
export const MAX_UINT32 = 2 ** 32 - 1;

/** What Go's case folding makes equal to an ASCII letter: its other case, the long s and the Kelvin sign. */
function fold(name: string): string {
  return name.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
}

/** The field names of one Go struct. A name that only folds to one of them is refused; unknown names are ignored. */
export class Shape {
  readonly #names: ReadonlySet<string>;
  readonly #folded: ReadonlySet<string>;

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
    this.#folded = new Set(names.map(fold));
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  check(names: Iterable<string>, path: Path): void {
    for (const name of names) {
      if (this.#names.has(name) || !this.#folded.has(fold(name))) continue;
      throw new Refusal("folded-name", `${quote(name)} differs from a known name only in its letters' case`, path);
    }
  }
}

export class Fields {
  readonly path: Path;
  readonly #members: ReadonlyMap<string, Tree>;

  /** @param shape absent for objects whose names are data, such as labels. */
  constructor(tree: Tree, path: Path = [], shape?: Shape) {
    if (!(tree instanceof Map)) throw new Refusal("malformed", "must be an object", path);
    shape?.check(tree.keys(), path);
    this.path = path;
    this.#members = tree;
  }

  tree(name: string): Tree {
    return this.#members.get(name) ?? null;
  }

  names(): Iterable<string> {
    return this.#members.keys();
  }

  has(name: string): boolean {
    return this.tree(name) !== null;
  }

  /** "" when absent. */
  text(name: string): string {
    const tree = this.tree(name) ?? "";
    if (typeof tree !== "string") throw this.refusal(name, "must be a string in quotes");
    return tree;
  }

  /** False when absent. */
  flag(name: string): boolean {
    const tree = this.tree(name) ?? false;
    if (typeof tree !== "boolean") throw this.refusal(name, "must be true or false");
    return tree;
  }

  /** 0 when absent. */
  whole(name: string, max: number): number {
    const tree = this.tree(name) ?? 0;
    if (typeof tree !== "number" || !Number.isSafeInteger(tree) || tree < 0 || tree > max) {
      throw this.refusal(name, `must be a whole number from 0 to ${max}`);
    }
    return tree;
  }

  /** An empty object when absent. */
  fields(name: string, shape?: Shape): Fields {
    return new Fields(this.tree(name) ?? new Map(), [...this.path, name], shape);
  }

  /** Empty when absent. */
  list(name: string): readonly Tree[] {
    const tree = this.tree(name) ?? [];
    if (!isList(tree)) throw this.refusal(name, "must be a list");
    return tree;
  }

  /** The objects of a list. */
  objects(name: string, shape?: Shape): readonly Fields[] {
    return this.list(name).map((item, index) => new Fields(item, [...this.path, name, index], shape));
  }

  /** The strings of a list. */
  texts(name: string): readonly string[] {
    return this.list(name).map((item, index) => {
      if (typeof item !== "string")
        throw new Refusal("malformed", "must be a string in quotes", [...this.path, name, index]);
      return item;
    });
  }

  /** A map of strings; empty when absent. */
  textMap(name: string): ReadonlyMap<string, string> {
    const fields = this.fields(name);
    const map = new Map<string, string>();
    for (const key of fields.names()) map.set(key, fields.text(key));
    return map;
  }

  refusal(name: string, fault: string): Refusal {
    return new Refusal("malformed", fault, [...this.path, name]);
  }
}

function isList(tree: Tree): tree is readonly Tree[] {
  return Array.isArray(tree);
}
