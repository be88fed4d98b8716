/** Seeded damage to bytes: what a broken or hostile peer might send. */
import { below, type Random } from "../../src/runtime/random.ts";

/** Bytes and texts that parsers stumble over. */
const TOKENS = [
  "",
  "null",
  "true",
  "{",
  "}",
  "[",
  "]",
  '"',
  ":",
  ",",
  ";",
  "=",
  "$",
  "\\",
  "\\u0000",
  "\\ud800",
  "\u0000",
  "\ufeff",
  "\u202e",
  "-0",
  "1e9",
  "1.5",
  "9007199254740993",
  "4294967296",
  "-1",
  "255",
  "0",
  '"id":1,',
  '"ID":1,',
  '"Port":0',
  '"__proto__":{"a":1},',
  "127.0.0.1",
  "169.254.169.254",
  "::ffff:10.0.0.1",
  "fe80::1",
  "/0",
  "/128",
  "../",
  "oslo",
  "reserved:host=;",
  "k8s:a=b;",
  "AAAAAA==",
].map((token) => new TextEncoder().encode(token));

/** The same for parsers of messages and frames. */
const BINARY_TOKENS = [
  [0x0b], // a group begins
  [0x42, 0], // an empty endpoint
  [0x42, 0xff, 0xff, 0xff, 0xff, 0x0f], // a length beyond the end
  [0x09, 1, 2, 3, 4, 5, 6, 7, 8], // a fixed width
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // the largest number
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], // a number without end
  [0x28, 0xb5, 0x2f, 0xfd], // a frame begins
  [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0], // a frame to be skipped
].map((token) => Uint8Array.from(token));

const ALL_TOKENS = [...TOKENS, ...BINARY_TOKENS];

function splice(bytes: Uint8Array, from: number, to: number, put: Uint8Array): Uint8Array {
  const out = new Uint8Array(from + put.length + bytes.length - to);
  out.set(bytes.subarray(0, from));
  out.set(put, from);
  out.set(bytes.subarray(to), from + put.length);
  return out;
}

function pick<T>(random: Random, items: readonly T[], fallback: T): T {
  return items[below(random, items.length)] ?? fallback;
}

/** One mutation: a flipped byte, a token put in or over, a cut, a doubled piece, or a piece of another value. */
function mutateOnce(random: Random, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const at = below(random, bytes.length + 1);
  const end = Math.min(bytes.length, at + below(random, 24));
  switch (below(random, 6)) {
    case 0:
      return bytes.map((byte, index) => (index === at ? byte ^ (1 << below(random, 8)) : byte));
    case 1:
      return splice(bytes, at, at, pick(random, ALL_TOKENS, bytes));
    case 2:
      return splice(bytes, at, end, pick(random, ALL_TOKENS, bytes));
    case 3:
      return splice(bytes, at, end, new Uint8Array());
    case 4:
      return splice(bytes, at, at, bytes.subarray(at, end));
    default: {
      const other = pick(random, corpus, bytes);
      const from = below(random, other.length + 1);
      return splice(bytes, at, end, other.subarray(from, from + below(random, 64)));
    }
  }
}

/** One to four mutations. */
export function mutate(random: Random, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  let out = bytes;
  for (let left = 1 + below(random, 4); left > 0; left--) out = mutateOnce(random, out, corpus);
  return out;
}

export function randomBytes(random: Random, maxLength: number): Uint8Array {
  return Uint8Array.from({ length: below(random, maxLength + 1) }, () => below(random, 256));
}
