/**
 * What a cluster's etcd ever held of its own state: the judge of every mirrored value. Lies (values that others must refuse) are registered apart
 * and are never part of it.
 */
import type { Clock } from "../../src/runtime/clock.ts";
import { parseCacheKey, RESOURCES, type ResourceKind } from "../../src/wire/resources.ts";

const JUST_NOW_MS = 1_000;

export interface Said {
  /** Rises over all names, also over a restore. */
  readonly version: number;
  readonly atMs: number;
  /** Absent: the etcd does not hold it any more. */
  readonly text?: string;
  /** Gone with the etcd's data: nobody withdrew it. */
  readonly lost?: true;
  /** Back with the etcd's data: nobody said it. */
  readonly restored?: true;
}

/** Bytes as text that can be compared. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

export class Truth {
  readonly cluster: string;
  readonly #clock: Clock;
  readonly #history = new Map<string, Said[]>();
  /** Kind -> when config and canary last stood together; Infinity: they do. */
  readonly #completeMs = new Map<ResourceKind, number>();
  /** Values that were put into the etcd and that no mirror may write. */
  readonly lies = new Set<string>();
  /** Until when watches of this cluster may have lost something without a word: only an audit finds that. */
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  #silences = 0;
  /** When the drain marker was put, and when it went. */
  readonly #drains: { readonly fromMs: number; untilMs: number }[] = [];
  #idBefore: { readonly id: unknown; readonly atMs: number } | undefined;
  #id: { readonly id: unknown; readonly atMs: number } | undefined;
  /** Node address -> when it was withdrawn last. */
  readonly #nodesGone = new Map<string, number>();
  /** When the etcd last became another one. */
  restartedMs = Number.NEGATIVE_INFINITY;
  /** Newest version at the end of each world. */
  readonly #restarts: number[] = [];
  #version = 0;

  constructor(cluster: string, clock: Clock) {
    this.cluster = cluster;
    this.#clock = clock;
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

  /** The etcd holds `text` from now on; undefined: it was withdrawn. */
  say(name: string, text: string | undefined): void {
    if (text !== undefined && this.lies.has(text)) return;
    const before = this.#last(name);
    // A lie that took the place of what was lost goes: that is a withdrawal.
    if (text === undefined && before?.text === undefined && before?.lost !== true) return;
    if (text === undefined && this.#neverSeen(name)) this.#history.get(name)?.pop();
    else this.#add(name, text === undefined ? {} : { text });
  }

  /** It was withdrawn, came back with the etcd's data, and is withdrawn again in the same moment. */
  #neverSeen(name: string): boolean {
    const [before, last] = this.#history.get(name)?.slice(-2) ?? [];
    const isWithdrawn = before?.text === undefined && before?.lost !== true;
    return isWithdrawn && last?.atMs === this.restartedMs && last.atMs === this.#clock.nowMs();
  }

  /** Version of the newest saying. */
  get version(): number {
    return this.#version;
  }

  /** The etcd is another one, or went back in time, to what was said up to `version`: this is what it holds. */
  restart(standing: ReadonlyMap<string, string>, version: number): void {
    this.restartedMs = this.#clock.nowMs();
    this.#restarts.push(this.#version);
    for (const [name, text] of standing) if (!this.lies.has(text)) this.#add(name, { text, restored: true });
    for (const name of this.#history.keys()) {
      const text = this.#last(name)?.text;
      if (standing.has(name) || text === undefined) continue;
      this.#add(name, this.#withdrewUpTo(name, text, version) ? {} : { lost: true });
    }
  }

  /** Whether `text` had been withdrawn by then: whoever knows a still older backup of the same etcd sees just that. */
  #withdrewUpTo(name: string, text: string, version: number): boolean {
    const until = (this.#history.get(name) ?? []).filter((said) => said.version <= version);
    const last = until.at(-1);
    return last?.text === undefined && last?.lost !== true && until.at(-2)?.text === text;
  }

  #add(name: string, what: Pick<Said, "text" | "lost" | "restored">): void {
    const said = this.#history.get(name) ?? [];
    this.#history.set(name, said);
    this.#version++;
    said.push({ version: this.#version, atMs: this.#clock.nowMs(), ...what });
  }

  #last(name: string): Said | undefined {
    return this.#history.get(name)?.at(-1);
  }

  /** Whether config and canary of a kind stand. */
  complete(kind: ResourceKind, stands: boolean): void {
    const before = this.#completeMs.get(kind);
    if (stands) this.#completeMs.set(kind, Number.POSITIVE_INFINITY);
    else if (before === Number.POSITIVE_INFINITY) this.#completeMs.set(kind, this.#clock.nowMs());
  }

  /** When config and canary of a kind last stood. */
  lastCompleteMs(kind: ResourceKind): number {
    return Math.min(this.#completeMs.get(kind) ?? Number.NEGATIVE_INFINITY, this.#clock.nowMs());
  }

  /** What stands under the name now. */
  standing(name: string): Said | undefined {
    const last = this.#last(name);
    return last?.text === undefined ? undefined : last;
  }

  /** Since when nothing stands under the name; undefined: something does, or never did. */
  absence(name: string): Said | undefined {
    const last = this.#last(name);
    return last?.text === undefined ? last : undefined;
  }

  /** When `name` was absent first after `version`: that it came back for a while, nobody who was away then knows. */
  absentSinceMs(name: string, version: number): number {
    const absent = this.#history.get(name)?.find((said) => said.text === undefined && said.version > version);
    return absent?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** When `text` was said last under `name`; undefined: never. */
  said(name: string, text: string): Said | undefined {
    return this.#history.get(name)?.findLast((said) => said.text === text);
  }

  /**
   * The same text may have been said of several worlds: the newest saying in the first of them in which it is not older than `version`; else the newest of
   * all.
   */
  saidSince(name: string, text: string, version: number): Said | undefined {
    const said = (this.#history.get(name) ?? []).filter((one) => one.text === text);
    return this.#inFirstWorld(said, version) ?? said.at(-1);
  }

  #inFirstWorld(said: readonly Said[], version: number): Said | undefined {
    for (const until of [...this.#restarts, Number.POSITIVE_INFINITY]) {
      const newest = said.findLast((one) => one.version <= until);
      if (newest && newest.version >= version) return newest;
    }
    return undefined;
  }

  /** Everything that stood under the name at some time since then, and that watches told of: what a backup brought back for a while, few may have seen. */
  textsSince(name: string, sinceMs: number): readonly string[] {
    const said = this.#history.get(name) ?? [];
    const stood = said.filter((_, index) => (said[index + 1]?.atMs ?? Number.POSITIVE_INFINITY) > sinceMs);
    const told = stood.filter(
      ({ atMs, restored }, index) => index === 0 || (atMs > this.silentUntilMs && restored !== true),
    );
    return told.flatMap(({ text }) => text ?? []);
  }

  /** What was said of `name` after `version`, up to then. */
  textsAfter(name: string, version: number, untilMs: number): readonly string[] {
    const said = this.#history.get(name) ?? [];
    return said.flatMap(({ version: at, atMs, text }) => (at > version && atMs <= untilMs ? (text ?? []) : []));
  }

  /** The first thing that was said of `name` after `version`. */
  next(name: string, version: number): Said | undefined {
    return this.#history.get(name)?.find((said) => said.version > version);
  }

  /** The last withdrawal of `name` after `version`: by somebody, not by a loss of data. */
  withdrawal(name: string, version: number): Said | undefined {
    return this.#history
      .get(name)
      ?.findLast((said) => said.text === undefined && said.lost !== true && said.version > version);
  }

  /** The last loss of `name` after `version` that lasted until then. */
  loss(name: string, version: number, untilMs: number): Said | undefined {
    const said = this.#history.get(name) ?? [];
    return said.findLast(
      ({ lost, version: at }, index) =>
        lost === true && at > version && (said[index + 1]?.atMs ?? Number.POSITIVE_INFINITY) >= untilMs,
    );
  }

  /** The last withdrawal of `name` after `version` in the first world that has one. */
  withdrawalSince(name: string, version: number): Said | undefined {
    const withdrawn = (this.#history.get(name) ?? []).filter(({ text, lost }) => text === undefined && lost !== true);
    return this.#inFirstWorld(withdrawn, version + 1);
  }

  get silentUntilMs(): number {
    return this.#silences > 0 ? Number.POSITIVE_INFINITY : this.#silentUntilMs;
  }

  silentUntil(untilMs: number): void {
    this.#silentUntilMs = Math.max(this.#silentUntilMs, untilMs);
  }

  /** From now on, until the function returned is called. */
  silence(): () => void {
    this.#silences++;
    return () => {
      this.#silences--;
      this.silentUntil(this.#clock.nowMs());
    };
  }

  drain(stands: boolean): void {
    const last = this.#drains.at(-1);
    const nowMs = this.#clock.nowMs();
    if (last) last.untilMs = Math.min(last.untilMs, nowMs);
    if (stands) this.#drains.push({ fromMs: nowMs, untilMs: Number.POSITIVE_INFINITY });
  }

  /** Whether what was withdrawn then was told to be meant, then or later. */
  drainedAt(atMs: number): boolean {
    return this.#drains.some(({ untilMs }) => untilMs >= atMs);
  }

  /** Its cluster config says so from now on. */
  sayId(id: unknown): void {
    if (id === this.#id?.id) return;
    this.#idBefore = this.#id;
    this.#id = { id, atMs: this.#clock.nowMs() };
  }

  /** For how long its config has said another id than this one, in ms. */
  saysOtherIdFor(id: unknown): number {
    const nowMs = this.#clock.nowMs();
    // What it said until a moment ago is what others know.
    const said = nowMs - (this.#id?.atMs ?? 0) < JUST_NOW_MS ? this.#idBefore : this.#id;
    return said?.id === undefined || said.id === id ? 0 : nowMs - said.atMs;
  }

  nodeWithdrawn(address: string): void {
    this.#nodesGone.set(address, this.#clock.nowMs());
  }

  /** Whether a node with that address went, no longer than a window before. */
  nodeGone(address: string, atMs: number, windowMs: number): boolean {
    return (this.#nodesGone.get(address) ?? Number.NEGATIVE_INFINITY) >= atMs - windowMs;
  }

  wasSaid(name: string): boolean {
    return this.#history.has(name);
  }

  /** What stands now: name -> text. */
  now(): ReadonlyMap<string, string> {
    const standing = new Map<string, string>();
    for (const [name, said] of this.#history) {
      const text = said.at(-1)?.text;
      if (text !== undefined) standing.set(name, text);
    }
    return standing;
  }

  /** Every name there ever was. */
  names(): Iterable<string> {
    return this.#history.keys();
  }
}
