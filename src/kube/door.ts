/**
 * The Kubernetes door: the three calls that Bulkhead makes of an API server, two of which only read. Bodies: `client.ts` (a real one),
 * `memory.ts` (a model), `faulty.ts` (either, with faults). Answers are bytes: `wire` judges them.
 */

export interface KubeCall {
  readonly signal: AbortSignal;
  /** Called when the server begins to answer, then for whatever it sends: silence can be told from work. */
  readonly heard: () => void;
}

export interface PageQuery {
  /** Most objects of one page. */
  readonly limit: number;
  /** From the page before; absent: the first page. */
  readonly continue?: string | undefined;
}

export interface WatchQuery {
  /** Changes after this version are wanted. */
  readonly resourceVersion: string;
  /** When the server is to end the stream by itself. */
  readonly timeoutSeconds: number;
}

export interface KubeApi {
  /** JSON of one page of the collection at `path` (`/api/v1/pods`), all namespaces. Rejects with a KubeError, also when the signal aborts. */
  list(path: string, query: PageQuery, call: KubeCall): Promise<Uint8Array>;
  /**
   * Changes of the collection, one JSON line each, bookmarks among them. The next line waits until `onLine` has settled. Resolves when the
   * server ends the stream between two lines, or when the signal aborts. Rejects with a KubeError, or with what `onLine` threw.
   */
  watch(path: string, query: WatchQuery, onLine: (line: Uint8Array) => Promise<void>, call: KubeCall): Promise<void>;
  /** Makes an object, JSON, in the collection at `path`, which names its namespace. Rejects with a KubeError: `exists` when there is one of its name. */
  create(path: string, body: Uint8Array, call: KubeCall): Promise<void>;
}

export interface KubeAccess {
  /** A kubeconfig file; absent: the service account of the pod that this runs in. */
  readonly config?: string | undefined;
  /** A context of that file; absent: its current one. */
  readonly context?: string | undefined;
}

/** Resolves to the door; no call is made yet. Rejects with a KubeError (`refused`) when the access makes no sense. */
export type ConnectKube = (access: KubeAccess) => Promise<KubeApi>;

/** Longest page that is read, in bytes. */
export const MAX_PAGE_BYTES = 64 * 1024 * 1024;
/** Longest line of a watch, in bytes: several times what etcd lets an object have. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024;

/**
 * `unreachable`: nobody answers. `unauthorized`, `forbidden`: 401, 403. `absent`: 404, there is no such kind. `exists`: 409. `expired`: 410, the version is
 * too old. `busy`: 429 and 5xx, not now. `refused`: any other no. `cut-off`: less than a whole answer. `too-large`: more than is read.
 */
export type KubeErrorCode =
  | "unreachable"
  | "unauthorized"
  | "forbidden"
  | "absent"
  | "exists"
  | "expired"
  | "busy"
  | "refused"
  | "cut-off"
  | "too-large";

export class KubeError extends Error {
  override readonly name = "KubeError";
  readonly code: KubeErrorCode;
  readonly retryable = true;

  constructor(code: KubeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const CODES: ReadonlyMap<number, KubeErrorCode> = new Map([
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "absent"],
  [409, "exists"],
  [410, "expired"],
  [429, "busy"],
]);

/** What an HTTP status that is not 200 means. */
export function codeOfStatus(status: number): KubeErrorCode {
  return CODES.get(status) ?? (status >= 500 ? "busy" : "refused");
}
