/** An API server in memory: collections with versions, a history that can be forgotten, and a server that can be gone while objects stay. */
import { type KubeApi, type KubeCall, KubeError, type KubeErrorCode, type PageQuery, type WatchQuery } from "./door.ts";

/** An object as a manifest says it; what the server adds is added here. */
export interface KubeObjectBody {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export interface MemoryCollection {
  /** `/api/v1/pods`. */
  readonly path: string;
  readonly apiVersion: string;
  readonly kind: string;
}

interface Change {
  readonly revision: number;
  readonly path: string;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObjectBody;
}

interface Watcher {
  readonly path: string;
  readonly send: (event: unknown) => void;
  readonly end: (error?: KubeError) => void;
}

/** A list that is being paged stays as it was when its first page was read. */
interface Paging {
  readonly revision: number;
  readonly objects: readonly KubeObjectBody[];
}

const FIRST_REVISION = 1000;
const EXPIRED = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Expired", code: 410 };

export class MemoryKube implements KubeApi {
  readonly #collections = new Map<string, MemoryCollection>();
  readonly #objects = new Map<string, Map<string, KubeObjectBody>>();
  readonly #watchers = new Set<Watcher>();
  readonly #pagings = new Map<string, Paging>();
  #history: Change[] = [];
  #revision = FIRST_REVISION;
  /** Watches from below this one are refused. */
  #oldest = 0;
  #made = 0;
  #alive = true;

  constructor(collections: readonly MemoryCollection[]) {
    for (const collection of collections) this.#collections.set(collection.path, collection);
  }

  /** Makes an object anew, or changes the one of this name. */
  put(path: string, body: KubeObjectBody): void {
    const objects = this.#objectsOf(path);
    const before = objects.get(keyOf(body));
    const metadata = {
      uid: before?.metadata["uid"] ?? uid(++this.#made),
      creationTimestamp: "2026-03-02T10:11:12Z",
      ...body.metadata,
      resourceVersion: String(++this.#revision),
    };
    const object = { ...body, metadata };
    objects.set(keyOf(body), object);
    this.#tell({ revision: this.#revision, path, type: before === undefined ? "ADDED" : "MODIFIED", object });
  }

  /** @param key `namespace/name`, or the name of what has no namespace. */
  remove(path: string, key: string): void {
    const object = this.#objectsOf(path).get(key);
    if (object === undefined) return;
    this.#objectsOf(path).delete(key);
    const metadata = { ...object.metadata, resourceVersion: String(++this.#revision) };
    this.#tell({ revision: this.#revision, path, type: "DELETED", object: { ...object, metadata } });
  }

  /** Forgets what happened so far: versions and pages of before have expired. */
  compact(): void {
    this.#history = [];
    this.#oldest = ++this.#revision;
    this.#pagings.clear();
  }

  /** Tells every watcher how far it is. */
  bookmark(): void {
    for (const { path, send } of this.#watchers) {
      const { kind, apiVersion } = this.#collection(path);
      const metadata = { resourceVersion: String(this.#revision), creationTimestamp: null };
      send({ type: "BOOKMARK", object: { kind, apiVersion, metadata } });
    }
  }

  /** Ends all watches in order, as a server does when their time is over; or breaks them. */
  endWatches(error?: KubeErrorCode): void {
    for (const { end } of [...this.#watchers]) end(error && new KubeError(error, `${error} (the model)`));
  }

  die(): void {
    this.#alive = false;
    this.endWatches("cut-off");
  }

  revive(): void {
    this.#alive = true;
  }

  get watches(): number {
    return this.#watchers.size;
  }

  async list(path: string, query: PageQuery, call: KubeCall): Promise<Uint8Array> {
    this.#check(call);
    const { kind, apiVersion } = this.#collection(path);
    const [name = "", from = "0"] = query.continue?.split(".") ?? [];
    const paging = query.continue === undefined ? this.#newPaging(path) : this.#pagings.get(name);
    if (paging === undefined) throw new KubeError("expired", "HTTP 410: the provided continue parameter is too old");
    const start = Number(from);
    const items = paging.objects.slice(start, start + query.limit);
    const rest = paging.objects.length - start - items.length;
    const token = `${query.continue === undefined ? this.#keep(paging) : name}.${start + items.length}`;
    const metadata = {
      resourceVersion: String(paging.revision),
      ...(rest > 0 && { continue: token, remainingItemCount: rest }),
    };
    call.heard();
    return encode({ kind: `${kind}List`, apiVersion, metadata, items });
  }

  async watch(
    path: string,
    { resourceVersion }: WatchQuery,
    onLine: (line: Uint8Array) => Promise<void>,
    call: KubeCall,
  ): Promise<void> {
    if (call.signal.aborted) return;
    this.#check(call);
    this.#collection(path);
    call.heard();
    const from = Number(resourceVersion);
    const message = `too old resource version: ${resourceVersion} (${this.#oldest})`;
    if (from < this.#oldest) return await onLine(encode({ type: "ERROR", object: { ...EXPIRED, message } }));
    const missed = this.#history.filter((change) => change.path === path && change.revision > from);
    await this.#stream(path, missed, onLine, call);
  }

  async create(path: string, bytes: Uint8Array, call: KubeCall): Promise<void> {
    this.#check(call);
    const [, root, namespace, plural] = /^(\/.*)\/namespaces\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    const all = `${root}/${plural}`;
    const body: KubeObjectBody = JSON.parse(new TextDecoder().decode(bytes));
    if (body.metadata.namespace !== namespace) throw new KubeError("refused", "HTTP 400: the namespaces differ");
    if (this.#objectsOf(all).has(keyOf(body))) throw new KubeError("exists", `HTTP 409: ${keyOf(body)} already exists`);
    call.heard();
    this.put(all, body);
  }

  /** By `namespace/name`, or the name. */
  objects(path: string): ReadonlyMap<string, KubeObjectBody> {
    return this.#objectsOf(path);
  }

  #stream(
    path: string,
    missed: readonly Change[],
    onLine: (line: Uint8Array) => Promise<void>,
    { signal, heard }: KubeCall,
  ): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      let last: Promise<void> = Promise.resolve();
      const over = (settle: () => void): void => {
        this.#watchers.delete(watcher);
        signal.removeEventListener("abort", aborted);
        settle();
      };
      const aborted = (): void => over(resolve);
      const watcher: Watcher = {
        path,
        send: (event) => {
          last = last.then(() => {
            heard();
            return signal.aborted ? undefined : onLine(encode(event));
          });
          last.catch((error: unknown) => over(() => reject(error)));
        },
        end: (error) => over(() => (error ? reject(error) : last.then(resolve, reject))),
      };
      signal.addEventListener("abort", aborted, { once: true });
      this.#watchers.add(watcher);
      for (const { type, object } of missed) watcher.send({ type, object: this.#typed(path, object) });
    });
  }

  #tell(change: Change): void {
    this.#history.push(change);
    const { type, path } = change;
    for (const watcher of this.#watchers) {
      if (watcher.path === path) watcher.send({ type, object: this.#typed(path, change.object) });
    }
  }

  /** Items of a list lack what objects of a watch say of themselves. */
  #typed(path: string, object: KubeObjectBody): KubeObjectBody {
    const { kind, apiVersion } = this.#collection(path);
    return { kind, apiVersion, ...object };
  }

  #newPaging(path: string): Paging {
    const sorted = [...this.#objectsOf(path)].sort(([left], [right]) => (left < right ? -1 : 1));
    return { revision: this.#revision, objects: sorted.map(([, object]) => object) };
  }

  #keep(paging: Paging): string {
    const name = `page${this.#pagings.size}`;
    this.#pagings.set(name, paging);
    return name;
  }

  #objectsOf(path: string): Map<string, KubeObjectBody> {
    this.#collection(path);
    const objects = this.#objects.get(path) ?? new Map<string, KubeObjectBody>();
    this.#objects.set(path, objects);
    return objects;
  }

  #collection(path: string): MemoryCollection {
    const collection = this.#collections.get(path);
    if (collection === undefined) throw new KubeError("absent", "HTTP 404: the server could not find the resource");
    return collection;
  }

  #check({ signal }: KubeCall): void {
    if (!this.#alive || signal.aborted) throw new KubeError("unreachable", "the API server is gone");
  }
}

function keyOf({ metadata: { namespace, name } }: KubeObjectBody): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function uid(order: number): string {
  return `00000000-0000-4000-8000-${order.toString(16).padStart(12, "0")}`;
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
