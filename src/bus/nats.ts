/** The NATS door over a real server: @nats-io, without its own reconnecting: when to try again is the caller's decision, by the one backoff policy. */
import { isIP } from "node:net";
import {
  type Consumer,
  DeliverPolicy,
  jetstream,
  jetstreamManager,
  type OrderedConsumerOptions,
} from "@nats-io/jetstream";
import { connect, credsAuthenticator, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";
import { messageOf, UserError } from "../runtime/user-error.ts";
import {
  type BusClient,
  BusError,
  type BusMessage,
  type BusOptions,
  type BusSecrets,
  busServer,
  busServersFault,
  type ConnectBus,
  type Published,
  type ReadRequest,
  type StoredMessage,
  type StreamSettings,
} from "./client.ts";

const NANOSECONDS_PER_MS = 1_000_000;
const MAX_PINGS_OUT = 2;
/** How long a server keeps a reader that vanished. */
const READER_FORGOTTEN_MS = 60_000;

export const connectNats: ConnectBus = (options) => {
  const fault = busServersFault(options.servers.join(","));
  if (fault !== undefined) throw new UserError(fault);
  return new NatsBus(options);
};

class NatsBus implements BusClient {
  readonly #options: BusOptions;
  #connection: Promise<NatsConnection> | undefined;
  #dials = 0;
  #closed = false;

  constructor(options: BusOptions) {
    this.#options = options;
  }

  async ensureStream(settings: StreamSettings): Promise<void> {
    await this.#call(async (connection) => {
      const { streams } = await jetstreamManager(connection, { timeout: this.#options.timeoutMs });
      const config = {
        name: settings.name,
        subjects: [...settings.subjects],
        max_bytes: settings.maxBytes,
        max_age: settings.maxAgeMs * NANOSECONDS_PER_MS,
        duplicate_window: settings.duplicateWindowMs * NANOSECONDS_PER_MS,
      };
      // The same stream made twice is no error; one with other limits is.
      await streams.add(config).catch(() => streams.update(settings.name, config));
    });
  }

  async reach(stream: string): Promise<void> {
    await this.#call(async (connection) => {
      const { streams } = await jetstreamManager(connection, { timeout: this.#options.timeoutMs });
      await streams.info(stream);
    });
  }

  publish({ subject, id, data }: BusMessage): Promise<Published> {
    return this.#call(async (connection) => {
      const { seq, duplicate } = await jetstream(connection, { timeout: this.#options.timeoutMs }).publish(
        subject,
        data,
        {
          msgID: id,
        },
      );
      return { sequence: seq, duplicate };
    });
  }

  async *read(request: ReadRequest, signal: AbortSignal): AsyncGenerator<StoredMessage> {
    const connection = await this.#call(async (made) => made);
    const last = request.follow ? undefined : await this.#last(connection, request);
    if (!request.follow && last === undefined) return;
    const consumer = await this.#call(() => this.#consumer(connection, request));
    try {
      yield* this.#messages(connection, consumer, last, signal);
    } finally {
      // In vain when the connection is gone; then the server forgets the reader by itself.
      consumer.delete().catch(() => undefined);
    }
  }

  /** Sequence of the last message that the request is about; undefined: there is none. */
  async #last(connection: NatsConnection, { stream, subject, from }: ReadRequest): Promise<number | undefined> {
    const found = await this.#call(async () => {
      const { streams } = await jetstreamManager(connection, { timeout: this.#options.timeoutMs });
      return streams.getMessage(stream, { last_by_subj: subject });
    });
    if (found === null) return undefined;
    if (from === undefined) return found.seq;
    const isLater = "sequence" in from ? found.seq >= from.sequence : found.time.getTime() >= from.wallMs;
    return isLater ? found.seq : undefined;
  }

  #consumer(connection: NatsConnection, request: ReadRequest): Promise<Consumer> {
    const options = { ...startOf(request), filter_subjects: request.subject, inactive_threshold: READER_FORGOTTEN_MS };
    return jetstream(connection, { timeout: this.#options.timeoutMs }).consumers.get(request.stream, options);
  }

  /** Up to `last`; undefined: on and on. */
  async *#messages(
    connection: NatsConnection,
    consumer: Consumer,
    last: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<StoredMessage> {
    const messages = await this.#call(() => consumer.consume({ abort_on_missing_resource: true }));
    const stop = (): void => messages.stop();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      for await (const message of messages) {
        yield { subject: message.subject, data: message.data, sequence: message.seq };
        // By sequence: a reader that went by the count of those still to come was once seen to wait on after the last (nats-server 2.9.10).
        if (last !== undefined && (message.seq >= last || message.info.pending === 0)) return;
      }
    } catch (error) {
      throw busError(error);
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
    if (!signal.aborted) throw new BusError(connection.isClosed() ? "the connection was lost" : "the stream ended");
  }

  close(): void {
    this.#closed = true;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.then((made) => made.close()).catch(() => undefined);
  }

  async #call<T>(run: (connection: NatsConnection) => Promise<T>): Promise<T> {
    try {
      this.#connection ??= this.#dial();
      return await run(await this.#connection);
    } catch (error) {
      throw busError(error);
    }
  }

  async #dial(): Promise<NatsConnection> {
    if (this.#closed) throw new BusError("closed");
    const { servers } = this.#options;
    const server = servers[this.#dials++ % servers.length] ?? "";
    try {
      const connection = await connect(this.#connectOptions(server, (await this.#options.secrets?.()) ?? {}));
      const lost = (): void => {
        this.#connection = undefined;
      };
      connection.closed().then(lost, lost);
      if (this.#closed) await connection.close();
      return connection;
    } catch (error) {
      this.#connection = undefined;
      throw new BusError(`${server}: ${messageOf(error)}`);
    }
  }

  #connectOptions(server: string, { password, credentials, ...pems }: BusSecrets): NodeConnectionOptions {
    const { user, name, timeoutMs, pingIntervalMs } = this.#options;
    const { host, port, secure } = busServer(server);
    return {
      servers: `${isIP(host) === 6 ? `[${host}]` : host}:${port}`,
      name,
      tls: secure ? tlsOptions(host, pems) : null,
      timeout: timeoutMs,
      pingInterval: pingIntervalMs,
      maxPingOut: MAX_PINGS_OUT,
      reconnect: false,
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
      ...(user !== undefined && { user }),
      ...(password !== undefined && { pass: password }),
      ...(credentials && { authenticator: credsAuthenticator(credentials) }),
    };
  }
}

/** `host` is what the certificate must carry where it is an address: the package itself asks for names only. */
function tlsOptions(host: string, { ca, cert, key }: BusSecrets) {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { host, ...(ca && { ca: text(ca) }), ...(cert && { cert: text(cert) }), ...(key && { key: text(key) }) };
}

function startOf({ from }: ReadRequest): Partial<OrderedConsumerOptions> {
  if (from === undefined) return { deliver_policy: DeliverPolicy.All };
  if ("sequence" in from) return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from.sequence };
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(from.wallMs).toISOString() };
}

function busError(error: unknown): BusError {
  return error instanceof BusError ? error : new BusError(messageOf(error));
}
