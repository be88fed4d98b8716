/**
 * Writes into an etcd with as little work as possible: HTTP/2 straight from Node, messages encoded before the clock starts. Floors and generators
 * are made of it, so that they are no slower than what they measure.
 */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { encodeTxn } from "../src/kv/etcd-requests.ts";
import type { Pair } from "./mesh-data.ts";

const HEADERS = {
  ":method": "POST",
  ":path": "/etcdserverpb.KV/Txn",
  "content-type": "application/grpc",
  te: "trailers",
} as const;
const FRAME_HEADER_BYTES = 5;
/** Node's own bound, 10, is one of a server's. */
const SESSION_MEMORY_MB = 256;
/** A Txn without conditions as gRPC sends it. */
export function encodePuts(pairs: readonly Pair[]): Uint8Array {
  const message = encodeTxn({ operations: pairs.map(({ key, value }) => ({ put: { key, value } })) });
  const frame = new Uint8Array(FRAME_HEADER_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

export class RawEtcd {
  readonly #session: ClientHttp2Session;

  constructor(endpoint: string) {
    this.#session = connect(endpoint, { maxSessionMemory: SESSION_MEMORY_MB });
    // A session that fails fails its requests, which tell.
    this.#session.on("error", () => undefined);
  }

  /** Resolves when the Txn is applied. */
  txn(frame: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(HEADERS);
      let status: IncomingHttpHeaders = {};
      const note = (headers: IncomingHttpHeaders): void => {
        if ("grpc-status" in headers) status = headers;
      };
      stream.on("response", note);
      stream.on("trailers", note);
      stream.on("error", reject);
      stream.on("close", () => {
        if (status["grpc-status"] === "0") resolve();
        else reject(new Error(`etcd refused a Txn: ${String(status["grpc-message"])}`));
      });
      stream.resume();
      stream.end(frame);
    });
  }

  /** Writes all of them, `inFlight` at once. */
  async writeAll(frames: readonly Uint8Array[], inFlight: number): Promise<void> {
    let next = 0;
    const writer = async (): Promise<void> => {
      for (let frame = frames[next++]; frame !== undefined; frame = frames[next++]) await this.txn(frame);
    };
    await Promise.all(Array.from({ length: inFlight }, writer));
  }

  close(): void {
    this.#session.close();
  }
}

export function inBatches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));
}
