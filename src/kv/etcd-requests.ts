/**
 * Transactions as etcd reads them, written straight into the bytes of the request: etcd3's own encoder makes an object of every key first. The field numbers
 * are those of etcd's rpc.proto.
 */
import assert from "node:assert/strict";
import type { Compare, Operation, TxnRequest } from "./client.ts";

const VARINT = 0;
const LENGTH = 2;
/** Beside keys and values, generously: tags, lengths and one number. */
const OVERHEAD_BYTES = 64;

const TARGETS = {
  version: { target: 0, field: 4 },
  create: { target: 1, field: 5 },
  mod: { target: 2, field: 6 },
} as const;

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}

const fieldSize = (length: number): number => 1 + varintSize(length) + length;

/** Field by field, in the order in which they are to stand. All field numbers are below 16. */
class RequestWriter {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(maxBytes: number) {
    this.#bytes = Buffer.allocUnsafe(maxBytes);
  }

  /** A message, or bytes, of which `length` bytes follow. */
  length(field: number, length: number): void {
    this.#bytes[this.#at++] = field * 8 + LENGTH;
    this.#varint(length);
  }

  whole(field: number, value: number): void {
    this.#bytes[this.#at++] = field * 8 + VARINT;
    this.#varint(value);
  }

  /** Of 64 bits. */
  big(field: number, value: bigint): void {
    this.#bytes[this.#at++] = field * 8 + VARINT;
    let rest = value;
    for (; rest >= 128n; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 127n) | 128;
    this.#bytes[this.#at++] = Number(rest);
  }

  text(field: number, text: string, bytes: number): void {
    this.length(field, bytes);
    this.#at += this.#bytes.write(text, this.#at, "utf8");
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.length(field, bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  finish(): Buffer {
    assert(this.#at <= this.#bytes.length);
    return this.#bytes.subarray(0, this.#at);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 128;
    this.#bytes[this.#at++] = rest;
  }
}

function writeCompare(to: RequestWriter, { key, target, equal }: Compare): void {
  const keyBytes = Buffer.byteLength(key);
  const one = TARGETS[target];
  to.length(1, 2 + fieldSize(keyBytes) + 1 + varintSize(equal));
  to.whole(2, one.target);
  to.text(3, key, keyBytes);
  to.whole(one.field, equal);
}

function writeOperation(to: RequestWriter, operation: Operation): void {
  if ("delete" in operation) {
    const { key, rangeEnd } = operation.delete;
    const [keyBytes, endBytes] = [Buffer.byteLength(key), Buffer.byteLength(rangeEnd ?? "")];
    const size = fieldSize(keyBytes) + (rangeEnd === undefined ? 0 : fieldSize(endBytes));
    to.length(2, fieldSize(size));
    to.length(3, size);
    to.text(1, key, keyBytes);
    if (rangeEnd !== undefined) to.text(2, rangeEnd, endBytes);
    return;
  }
  const { key, value, leaseId = 0n } = operation.put;
  const keyBytes = Buffer.byteLength(key);
  const lease = BigInt.asUintN(64, leaseId);
  const leaseBytes = lease === 0n ? 0 : 1 + Math.ceil(lease.toString(2).length / 7);
  const size = fieldSize(keyBytes) + fieldSize(value.length) + leaseBytes;
  to.length(2, fieldSize(size));
  to.length(2, size);
  to.text(1, key, keyBytes);
  to.bytes(2, value);
  if (lease !== 0n) to.big(3, lease);
}

/** A key has at most three bytes a unit. */
function mostBytes({ compare = [], operations }: TxnRequest): number {
  let bytes = 0;
  for (const { key } of compare) bytes += 3 * key.length + OVERHEAD_BYTES;
  for (const operation of operations) {
    if ("put" in operation) bytes += 3 * operation.put.key.length + operation.put.value.length + OVERHEAD_BYTES;
    else bytes += 3 * (operation.delete.key.length + (operation.delete.rangeEnd?.length ?? 0)) + OVERHEAD_BYTES;
  }
  return bytes;
}

export function encodeTxn(request: TxnRequest): Buffer {
  const to = new RequestWriter(mostBytes(request));
  for (const compare of request.compare ?? []) writeCompare(to, compare);
  for (const operation of request.operations) writeOperation(to, operation);
  return to.finish();
}
