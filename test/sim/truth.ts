/** What a cluster ever said of itself: the judge of every mirrored value. */
import { parseCacheKey, RESOURCES } from "../../src/wire/resources.ts";

interface Said {
  readonly version: number;
  /** Absent: withdrawn. */
  readonly text?: string;
}

/** Bytes as text that can be compared. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

export class Truth {
  readonly cluster: string;
  readonly #history = new Map<string, Said[]>();
  #version = 0;

  constructor(cluster: string) {
    this.cluster = cluster;
  }

  /** `<kind> <suffix>` of a state key, or undefined when it is not mirrored. */
  nameOfStateKey(key: string): string | undefined {
    for (const { kind, statePrefix } of RESOURCES) {
      const prefix = statePrefix(this.cluster);
      if (key.startsWith(prefix)) return `${kind} ${key.slice(prefix.length)}`;
    }
    return undefined;
  }

  static nameOfCacheKey(key: string): { readonly cluster: string; readonly name: string } | undefined {
    const parsed = parseCacheKey(key);
    return parsed && { cluster: parsed.cluster, name: `${parsed.kind} ${parsed.suffix}` };
  }

  say(name: string, value: Uint8Array | undefined): void {
    const said = this.#history.get(name) ?? [];
    this.#history.set(name, said);
    this.#version++;
    said.push({ version: this.#version, ...(value && { text: textOf(value) }) });
  }

  /** When `text` was said under `name`; undefined: never. Every value is said once only. */
  versionOf(name: string, text: string): number | undefined {
    return this.#history.get(name)?.find((said) => said.text === text)?.version;
  }

  /** Whether `name` was withdrawn after `version`. */
  withdrawnAfter(name: string, version: number): boolean {
    return this.#history.get(name)?.some((said) => said.text === undefined && said.version > version) === true;
  }

  /** What stands now. */
  now(): ReadonlyMap<string, string> {
    const standing = new Map<string, string>();
    for (const [name, said] of this.#history) {
      const text = said.at(-1)?.text;
      if (text !== undefined) standing.set(name, text);
    }
    return standing;
  }

  names(kind: string): readonly string[] {
    return [...this.#history.keys()].filter((name) => name.startsWith(`${kind} `));
  }
}
