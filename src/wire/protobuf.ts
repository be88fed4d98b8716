/**
 * Protocol buffers (proto2 wire format) as Go's generated code reads them, but strictly: a field that is there once only must not be there twice,
 * and groups are refused. Unknown fields are passed over. Messages nest as deep as the caller asks, and share one allowance of fields.
 */
import { decodeText } from "./json.ts";
import { Refusal } from "./refusal.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Nothing that we read is of fixed width. */
const FIXED = "fixed";

type Value = number | Uint8Array | typeof FIXED;

/** Fields of a message and of all within it. The thousand endpoints that a slice may have take some thirteen each. */
export const MAX_FIELDS = 24 * 1024;

function fault(what: string): Refusal {
  return new Refusal("malformed", `protobuf ${what}`);
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Up to 2^53: nothing that we read is larger. */
  varint(): number {
    let value = 0;
    for (let index = 0, scale = 1; index < 10; index++, scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw fault("is cut off in a number");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw fault("has a number without end");
  }

  take(count: number): Uint8Array {
    if (count > this.#bytes.length - this.#at) throw fault("is cut off");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  value(wireType: number): Value {
    if (wireType === VARINT) return this.varint();
    if (wireType === BYTES) return this.take(this.varint());
    if (wireType === FIXED64) return this.#fixed(8);
    if (wireType === FIXED32) return this.#fixed(4);
    throw fault(`has a field of wire type ${wireType}`);
  }

  #fixed(count: number): typeof FIXED {
    this.take(count);
    return FIXED;
  }
}

/** How many fields may still come. */
class Allowance {
  #left = MAX_FIELDS;

  spend(): void {
    if (this.#left-- === 0) throw new Refusal("too-large", `protobuf has more than ${MAX_FIELDS} fields`);
  }
}

/** The fields of one message. Throws a Refusal. */
export class Message {
  readonly #numbers: number[] = [];
  readonly #values: Value[] = [];
  readonly #allowance: Allowance;

  /** @param allowance that of the message around it. */
  constructor(bytes: Uint8Array, allowance = new Allowance()) {
    this.#allowance = allowance;
    const reader = new Reader(bytes);
    while (!reader.atEnd) {
      allowance.spend();
      const tag = reader.varint();
      const field = Math.floor(tag / 8);
      if (field < 1 || field > 0x1fffffff) throw fault(`has a field ${field}`);
      this.#values.push(reader.value(tag % 8));
      this.#numbers.push(field);
    }
  }

  /** How often the field occurs. */
  count(field: number): number {
    return this.#all(field).length;
  }

  #all(field: number): readonly Value[] {
    return this.#values.filter((_, index) => this.#numbers[index] === field);
  }

  #once(field: number): Value | undefined {
    const index = this.#numbers.indexOf(field);
    if (index >= 0 && this.#numbers.includes(field, index + 1)) {
      throw new Refusal("duplicate-name", `protobuf field ${field} occurs twice`);
    }
    return this.#values[index];
  }

  /** Undefined when absent. */
  whole(field: number, max: number): number | undefined {
    const value = this.#once(field);
    if (value === undefined) return undefined;
    if (typeof value !== "number" || value > max) throw fault(`field ${field} is no whole number up to ${max}`);
    return value;
  }

  flag(field: number): boolean | undefined {
    const value = this.whole(field, 1);
    return value === undefined ? undefined : value === 1;
  }

  /** "" when absent. */
  text(field: number): string {
    const value = this.#once(field);
    return value === undefined ? "" : textOf(value, field);
  }

  texts(field: number): readonly string[] {
    return this.#all(field).map((value) => textOf(value, field));
  }

  /** Undefined when absent. */
  message(field: number): Message | undefined {
    const value = this.#once(field);
    return value === undefined ? undefined : this.#within(value, field);
  }

  messages(field: number): readonly Message[] {
    return this.#all(field).map((value) => this.#within(value, field));
  }

  #within(value: Value, field: number): Message {
    if (!(value instanceof Uint8Array)) throw fault(`field ${field} is no message`);
    return new Message(value, this.#allowance);
  }

  /** A map of strings. */
  textMap(field: number): ReadonlyMap<string, string> {
    const map = new Map<string, string>();
    for (const entry of this.messages(field)) {
      const key = entry.text(1);
      if (map.has(key)) throw new Refusal("duplicate-name", `a name of protobuf field ${field} occurs twice`);
      map.set(key, entry.text(2));
    }
    return map;
  }
}

function textOf(value: Value, field: number): string {
  if (!(value instanceof Uint8Array)) throw fault(`field ${field} is no text`);
  return decodeText(value);
}

const encoder = new TextEncoder();

/** Writes fields in the order in which they are asked for. What is undefined is left out. */
export class MessageWriter {
  readonly #bytes: number[] = [];

  whole(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#varint(field * 8 + VARINT);
    this.#varint(value);
    return this;
  }

  flag(field: number, value: boolean | undefined): this {
    return this.whole(field, value === undefined ? undefined : Number(value));
  }

  text(field: number, value: string | undefined): this {
    return value === undefined ? this : this.bytes(field, encoder.encode(value));
  }

  bytes(field: number, value: Uint8Array | undefined): this {
    if (value === undefined) return this;
    this.#varint(field * 8 + BYTES);
    this.#varint(value.length);
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  textMap(field: number, map: ReadonlyMap<string, string>): this {
    for (const [key, value] of map) this.bytes(field, new MessageWriter().text(1, key).text(2, value).finish());
    return this;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes.push((rest % 128) | 0x80);
    this.#bytes.push(rest);
  }
}
