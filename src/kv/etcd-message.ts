/** One message of etcd's protocol (proto3), field by field, without copies. Throws a KvError on bytes that are none. */
import { KvError } from "./client.ts";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
/** A number of up to 2^53 has eight bytes of seven bits. */
const MAX_WHOLE_FACTOR = 2 ** 49;

export class EtcdMessage {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  #wire = VARINT;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** The number of the next field, which has to be read or skipped before the next call; 0: there is none. */
  next(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.whole();
    this.#wire = tag & 7;
    return tag >>> 3;
  }

  /** A number up to 2^53. */
  whole(): number {
    let value = 0;
    for (let factor = 1; factor <= MAX_WHOLE_FACTOR; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80 && Number.isSafeInteger(value)) return value;
    }
    throw new KvError("invalid", "number beyond 2^53 from etcd");
  }

  /** An unsigned number of 64 bits. */
  big(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new KvError("invalid", "number beyond 2^64 from etcd");
  }

  /** A view. */
  bytes(): Uint8Array {
    const length = this.whole();
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.#pass(length), length);
  }

  text(): string {
    const from = this.#pass(this.whole());
    return this.#bytes.toString("utf8", from, this.#at);
  }

  message(): EtcdMessage {
    const from = this.#pass(this.whole());
    return new EtcdMessage(this.#bytes, from, this.#at);
  }

  skip(): void {
    if (this.#wire === VARINT) this.big();
    else if (this.#wire === LENGTH) this.#pass(this.whole());
    else if (this.#wire === FIXED64) this.#pass(8);
    else if (this.#wire === FIXED32) this.#pass(4);
    else throw new KvError("invalid", `field of wire type ${this.#wire} from etcd`);
  }

  #byte(): number {
    const byte = this.#at < this.#end ? this.#bytes[this.#at] : undefined;
    if (byte === undefined) throw new KvError("invalid", "an answer of etcd is cut off");
    this.#at++;
    return byte;
  }

  /** Returns where what was passed begins. */
  #pass(length: number): number {
    const from = this.#at;
    if (length > this.#end - from) throw new KvError("invalid", "an answer of etcd is cut off");
    this.#at += length;
    return from;
  }
}
