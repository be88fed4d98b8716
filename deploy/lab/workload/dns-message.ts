/** DNS as far as a name server of services needs it (RFC 1035): one question in, addresses or a reason out. Pure. */
import { isV4, parseAddress } from "../../../src/model/address.ts";

export interface Question {
  readonly id: number;
  readonly recursionDesired: boolean;
  /** In lower case, without the final dot. */
  readonly name: string;
  readonly type: number;
  /** As it was asked, for the answer to say again. */
  readonly bytes: Uint8Array;
}

export const CODES = { ok: 0, badFormat: 1, failure: 2, noName: 3, notImplemented: 4 } as const;

const HEADER_BYTES = 12;
const ADDRESS_TYPES = { a: 1, aaaa: 28 } as const;
const CLASS_IN = 1;
const IS_ANSWER = 0x8000;
const AUTHORITATIVE = 0x0400;
const RECURSION_DESIRED = 0x0100;
/** A pointer to the name in the question, which starts after the header. */
const NAME_OF_QUESTION = 0xc000 | HEADER_BYTES;
/** Answers that fit in a datagram without any extension. */
const MAX_ANSWERS = 15;
const LONGEST_NAME = 253;

/** The question, or undefined for what must not be answered; a code for what can be answered only with that. */
export function readQuestion(
  message: Uint8Array,
): Question | { readonly id: number; readonly code: number } | undefined {
  if (message.length < HEADER_BYTES) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const [id, flags] = [view.getUint16(0), view.getUint16(2)];
  if ((flags & IS_ANSWER) !== 0) return undefined;
  if ((flags & 0x7800) !== 0) return { id, code: CODES.notImplemented };
  if (view.getUint16(4) !== 1) return { id, code: CODES.badFormat };
  const found = readName(message);
  if (found === undefined || found.end + 4 > message.length) return { id, code: CODES.badFormat };
  const end = found.end + 4;
  if (view.getUint16(found.end + 2) !== CLASS_IN) return { id, code: CODES.notImplemented };
  return {
    id,
    recursionDesired: (flags & RECURSION_DESIRED) !== 0,
    name: found.name,
    type: view.getUint16(found.end),
    bytes: message.subarray(HEADER_BYTES, end),
  };
}

/** Without pointers: the first name of a message has nothing to point to. */
function readName(message: Uint8Array): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at + 1 + length > message.length) return undefined;
    if (length === 0) break;
    labels.push(Buffer.from(message.subarray(at + 1, at + 1 + length)).toString("latin1"));
    at += 1 + length;
  }
  const name = labels.join(".").toLowerCase();
  return name.length <= LONGEST_NAME ? { name, end: at + 1 } : undefined;
}

/** An answer that is only a code. */
export function writeCode(id: number, code: number): Uint8Array {
  return header(id, IS_ANSWER | code, 0, 0);
}

/** @param addresses those of the other family are left out. */
export function writeAnswer(
  question: Question,
  code: number,
  addresses: readonly string[],
  ttlSeconds: number,
): Uint8Array {
  const records = addresses.flatMap((text) => record(question.type, text, ttlSeconds) ?? []).slice(0, MAX_ANSWERS);
  const flags = IS_ANSWER | AUTHORITATIVE | (question.recursionDesired ? RECURSION_DESIRED : 0) | code;
  return Buffer.concat([header(question.id, flags, 1, records.length), question.bytes, ...records]);
}

function header(id: number, flags: number, questions: number, answers: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  for (const [index, value] of [id, flags, questions, answers].entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

function record(type: number, text: string, ttlSeconds: number): Buffer | undefined {
  const address = parseAddress(text);
  if (address === undefined || type !== (isV4(address) ? ADDRESS_TYPES.a : ADDRESS_TYPES.aaaa)) return undefined;
  const data = isV4(address) ? address.subarray(12) : address;
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(NAME_OF_QUESTION, 0);
  bytes.writeUInt16BE(type, 2);
  bytes.writeUInt16BE(CLASS_IN, 4);
  bytes.writeUInt32BE(ttlSeconds, 6);
  bytes.writeUInt16BE(data.length, 10);
  return Buffer.concat([bytes, data]);
}
