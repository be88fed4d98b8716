/**
 * The NATS door: a JetStream stream that takes messages once each and gives them out again. Bodies: `nats.ts` (a real server), `memory.ts` (a
 * model of one), `faulty.ts` (either, with faults). Subjects are words between dots; `*` stands for one word and `>` for all that follow.
 */

export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  /** Beyond these the oldest messages go. */
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** For how long the server knows the id of a message, so that the same one is not taken twice. At most `maxAgeMs`. */
  readonly duplicateWindowMs: number;
}

export interface BusMessage {
  readonly subject: string;
  /** Unique: a second message of the same id is not taken. */
  readonly id: string;
  readonly data: Uint8Array;
}

export interface Published {
  readonly sequence: number;
  /** The server had it already. */
  readonly duplicate: boolean;
}

export interface StoredMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Position in the stream, ascending. */
  readonly sequence: number;
}

export interface ReadRequest {
  readonly stream: string;
  /** Only these: one subject, with wildcards. */
  readonly subject: string;
  /** First message wanted; absent: the oldest there is. */
  readonly from?: { readonly sequence: number } | { readonly wallMs: number };
  /** Goes on with what comes; else ends after what was there when it began. */
  readonly follow: boolean;
}

/** Every call rejects with a BusError, within its deadline. */
export interface BusClient {
  /** Makes the stream, or gives it these limits. */
  ensureStream(settings: StreamSettings): Promise<void>;
  /** Resolves when the stream is there. */
  reach(stream: string): Promise<void>;
  /** Resolves once the stream has it. After a rejection it may have it all the same: try again under the same id. */
  publish(message: BusMessage): Promise<Published>;
  /** Messages in order. Throws a BusError when the connection ends, and ends quietly when the signal aborts. */
  read(request: ReadRequest, signal: AbortSignal): AsyncGenerator<StoredMessage>;
  /** Idempotent; calls under way reject. */
  close(): void;
}

/** By what we believe a server, and prove who we are. */
export interface BusSecrets {
  /** PEM. Absent with tls: the system's authorities. */
  readonly ca?: Uint8Array;
  /** PEM, with `key`. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  readonly password?: string;
  /** A credentials file of NATS: a JWT and the seed that proves it. */
  readonly credentials?: Uint8Array;
}

export interface BusOptions {
  /** `nats://host:port` or `tls://host:port`, all of one kind. One is used at a time. */
  readonly servers: readonly string[];
  readonly user?: string;
  /** Asked for each connection: they may have been renewed. Absent: none. */
  readonly secrets?: () => Promise<BusSecrets>;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** Deadline of a call, and of connecting. */
  readonly timeoutMs: number;
  /** Between pings; two without an answer end the connection. */
  readonly pingIntervalMs: number;
}

/** Returns at once; the connection is made by the first call, and again by the first call after it was lost. */
export type ConnectBus = (options: BusOptions) => BusClient;

/** One line: what failed. Whatever it was may be mended while we run: every call may be tried again. */
export class BusError extends Error {
  override readonly name = "BusError";
  readonly retryable = true;
}

/** Whether a subject is one of those that a pattern stands for. */
export function subjectMatches(pattern: string, subject: string): boolean {
  const [wanted, words] = [pattern.split("."), subject.split(".")];
  const open = wanted.at(-1) === ">";
  if (open ? words.length < wanted.length : words.length !== wanted.length) return false;
  return wanted.every((word, index) => word === ">" || word === "*" || word === words[index]);
}

const DEFAULT_PORT = 4222;

/** The parts of a server that `busServersFault` finds nothing wrong with. */
export function busServer(server: string): { readonly host: string; readonly port: number; readonly secure: boolean } {
  const { hostname, port, protocol } = new URL(server);
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || DEFAULT_PORT), secure: protocol === "tls:" };
}

/** Why servers, separated by commas, cannot be used; undefined when they can. */
export function busServersFault(servers: string): string | undefined {
  const faults = servers.split(",").flatMap((server) => serverFault(server) ?? []);
  if (faults.length > 0) return faults[0];
  const kinds = new Set(servers.split(",").map((server) => busServer(server).secure));
  return kinds.size > 1 ? "must be all nats:// or all tls://" : undefined;
}

function serverFault(server: string): string | undefined {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  const isServer = url && /^(nats|tls):$/.test(url.protocol) && url.hostname !== "" && /^\/?$/.test(url.pathname);
  if (!isServer) return `${JSON.stringify(server)} is no server: must be nats://HOST:PORT or tls://HOST:PORT`;
  if (url.username === "" && url.password === "") return undefined;
  return "must not hold a user or a password, which everybody on the machine could read: name --nats-user and --nats-password-file";
}
