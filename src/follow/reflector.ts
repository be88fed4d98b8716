/**
 * One kind of an API server followed for ever: a paged list at one version, a watch from there, bookmarks that move the version. Whatever
 * ends the watch, it goes on from the last version after a jittered pause; a version that has expired lists again. What is known stays
 * until a new list is whole, and objects that did not change meanwhile are kept, so that listing again costs no second copy.
 */
import { isDeepStrictEqual } from "node:util";
import { type KubeApi, type KubeCall, KubeError, type KubeErrorCode } from "../kube/door.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, Slices, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { judgeEvent, judgePage, type KubeItem, type KubeObject, type KubePage, KubeReader } from "../wire/kube.ts";
import { type KubeKind, pathOf } from "../wire/kube-kinds.ts";

export interface ReflectorOptions {
  readonly api: KubeApi;
  readonly kind: KubeKind;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Objects per page. */
  readonly pageSize: number;
  /** Silence that long means the stream is dead, whatever TCP says. Servers send bookmarks every minute. */
  readonly progressTimeoutMs: number;
  /** How long a server is asked to keep a watch; up to twice that, so that watches do not all end together. */
  readonly watchSeconds: number;
  readonly backoff: BackoffSettings;
  /** Something of `objects` is not as it was. */
  readonly changed: () => void;
  /** Why it cannot be followed; undefined: it can again. */
  readonly faulted: (fault: string | undefined) => void;
}

/** How often one looks whether a server that has no such kind has it now. */
const ABSENT_RETRY_MS = 60_000;
const MAX_PAGE_SIZE = 10_000;
/** After these a watch goes on where it was. Anything else may mean that what is known is not what the server has. */
const GOES_ON: ReadonlySet<KubeErrorCode> = new Set(["unreachable", "cut-off", "busy", "unauthorized", "forbidden"]);

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #reader: KubeReader;
  /** The newest first. */
  readonly #paths: readonly string[];
  readonly #backoff: Backoff;
  #objects = new Map<string, KubeObject>();
  #listed = false;
  #fault: string | undefined;
  /** Up to where everything is known; absent: list. */
  #version: string | undefined;
  /** Which of the paths the server has. */
  #pathIndex = 0;
  #pageSize: number;
  #heardMs: number;
  #lists = 0;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#reader = new KubeReader(options.kind);
    const { kind } = options;
    this.#paths = [kind.apiVersion, kind.olderVersion].flatMap((version) => (version ? [pathOf(kind, version)] : []));
    this.#backoff = new Backoff(options.random, options.backoff);
    this.#pageSize = options.pageSize;
    this.#heardMs = options.clock.nowMs();
  }

  get kind(): KubeKind {
    return this.#options.kind;
  }

  /** By `namespace/name`. */
  get objects(): ReadonlyMap<string, KubeObject> {
    return this.#objects;
  }

  /** Whether `objects` was ever whole. */
  get listed(): boolean {
    return this.#listed;
  }

  /** Whole lists read. */
  get lists(): number {
    return this.#lists;
  }

  /** Why it is not up to date, if so. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Milliseconds since the server was last heard. */
  get ageMs(): number {
    return this.#options.clock.nowMs() - this.#heardMs;
  }

  /** Resolves when the signal aborts; never rejects. */
  async run(): Promise<void> {
    const { clock, signal } = this.#options;
    while (!signal.aborted) {
      const restMs = await this.#follow().catch((error: unknown) => this.#failed(error));
      await sleep(clock, restMs, signal);
    }
  }

  /** Resolves to the pause before going on. */
  async #follow(): Promise<number> {
    const version = this.#version ?? (await this.#list());
    this.#version = version;
    await this.#withDeadline((call) => this.#watch(version, call));
    return this.#backoff.nextMs();
  }

  #failed(error: unknown): number {
    const { kind, signal } = this.#options;
    if (signal.aborted) return 0;
    const code = error instanceof KubeError ? error.code : "refused";
    const listing = this.#version === undefined;
    if (!GOES_ON.has(code)) this.#version = undefined;
    // Pages that were too many to be read in time.
    if (code === "expired" && listing) this.#pageSize = Math.min(MAX_PAGE_SIZE, this.#pageSize * 2);
    if (code === "too-large") this.#pageSize = Math.max(1, Math.floor(this.#pageSize / 2));
    if (code === "absent" && this.#triesOlder()) return 0;
    if (code === "absent" && kind.optional && this.#objects.size === 0) {
      this.#settle(new Map());
      return ABSENT_RETRY_MS;
    }
    // Versions expire in the ordinary course of things.
    if (code !== "expired") this.#note(`${kind.plural}: ${messageOf(error)}; what is known stays`);
    return this.#backoff.nextMs();
  }

  /** Whether there is an older version that was not tried since the newest one was. */
  #triesOlder(): boolean {
    this.#pathIndex = (this.#pathIndex + 1) % this.#paths.length;
    return this.#pathIndex > 0;
  }

  get #path(): string {
    return this.#paths[this.#pathIndex] ?? "";
  }

  #note(fault: string | undefined): void {
    if (this.#fault === fault) return;
    this.#fault = fault;
    this.#options.faulted(fault);
  }

  #heard(): void {
    this.#heardMs = this.#options.clock.nowMs();
  }

  /** Runs a call that is given up when the server is silent for too long. */
  async #withDeadline<T>(action: (call: KubeCall) => Promise<T>): Promise<T> {
    const { clock, signal, progressTimeoutMs } = this.#options;
    const late = new AbortController();
    let heardMs = clock.nowMs();
    const look = (): void => {
      const leftMs = heardMs + progressTimeoutMs - clock.nowMs();
      if (leftMs <= 0) late.abort();
      else timer = clock.after(leftMs, look);
    };
    let timer = clock.after(progressTimeoutMs, look);
    const heard = (): void => {
      heardMs = clock.nowMs();
      this.#heard();
    };
    const silent = new KubeError("cut-off", `nothing heard for ${progressTimeoutMs} ms`);
    try {
      const result = await action({ signal: AbortSignal.any([signal, late.signal]), heard });
      if (late.signal.aborted) throw silent;
      return result;
    } catch (error) {
      throw late.signal.aborted ? silent : error;
    } finally {
      timer.cancel();
    }
  }

  /** Resolves to the version of a list that was read whole and taken over. */
  async #list(): Promise<string> {
    const { clock } = this.#options;
    const objects = new Map<string, KubeObject>();
    const slices = new Slices(clock);
    let version: string | undefined;
    let token: string | undefined;
    do {
      const page = await this.#page(token);
      version ??= page.resourceVersion;
      if (page.resourceVersion !== version) {
        throw new KubeError("expired", `pages of versions ${version} and ${page.resourceVersion}`);
      }
      for (const item of page.items) {
        objects.set(item.key, this.#read(item));
        await slices.rest();
      }
      token = page.continue;
    } while (token !== undefined);
    this.#lists++;
    this.#settle(objects);
    return version;
  }

  async #page(token: string | undefined): Promise<KubePage> {
    const { api, kind } = this.#options;
    const query = { limit: this.#pageSize, continue: token };
    const bytes = await this.#withDeadline((call) => api.list(this.#path, query, call));
    const judged = judgePage(kind, bytes);
    if (!judged.ok) throw new KubeError("refused", `page not understood: ${judged.rejection.detail}`);
    return judged.value;
  }

  /** The same object as before when it says the same. */
  #read(item: KubeItem): KubeObject {
    const before = this.#objects.get(item.key);
    if (before?.resourceVersion === item.resourceVersion && before.uid === item.uid) return before;
    const read = this.#reader.read(item, before);
    const same = before?.refusal === read.refusal && isDeepStrictEqual(before?.manifest, read.manifest);
    return before !== undefined && same ? { ...read, manifest: before.manifest } : read;
  }

  /** Takes over a whole list. */
  #settle(objects: Map<string, KubeObject>): void {
    const before = this.#objects;
    this.#objects = objects;
    const first = !this.#listed;
    this.#listed = true;
    this.#note(undefined);
    if (first || differ(before, objects)) this.#options.changed();
  }

  async #watch(version: string, call: KubeCall): Promise<void> {
    const { api, kind, random, watchSeconds } = this.#options;
    const timeoutSeconds = Math.round(watchSeconds * (1 + random.next()));
    const slices = new Slices(this.#options.clock);
    const heard = (): void => {
      call.heard();
      this.#note(undefined);
    };
    const onLine = async (line: Uint8Array): Promise<void> => {
      const judged = judgeEvent(kind, line);
      if (!judged.ok) throw new KubeError("refused", `event not understood: ${judged.rejection.detail}`);
      const event = judged.value;
      if (event.type === "error") throw new KubeError(event.expired ? "expired" : "refused", event.detail);
      this.#backoff.reset();
      if (event.type === "bookmark") this.#version = event.resourceVersion;
      else this.#apply(event.type, event.item);
      await slices.rest();
    };
    const query = { resourceVersion: version, timeoutSeconds };
    await api.watch(this.#path, query, onLine, { signal: call.signal, heard });
  }

  #apply(type: "put" | "gone", item: KubeItem): void {
    const before = this.#objects.get(item.key);
    this.#version = item.resourceVersion;
    if (type === "gone") this.#objects.delete(item.key);
    else this.#objects.set(item.key, this.#read(item));
    const after = this.#objects.get(item.key);
    if (before?.manifest !== after?.manifest || before?.refusal !== after?.refusal) this.#options.changed();
  }
}

function differ(before: ReadonlyMap<string, KubeObject>, after: ReadonlyMap<string, KubeObject>): boolean {
  if (before.size !== after.size) return true;
  for (const [key, { manifest, refusal }] of after) {
    const old = before.get(key);
    if (old === undefined || old.manifest !== manifest || old.refusal !== refusal) return true;
  }
  return false;
}
