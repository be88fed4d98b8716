/** JSON as Go's encoder writes it: compact, map names sorted by bytes, `<`, `>`, `&` and the line separators escaped. */
import assert from "node:assert/strict";
import { JsonNumber } from "./json.ts";

/**
 * An object literal is a Go struct: fields in the order written, undefined ones omitted. A Map is written in its own order:
 * wrap Go maps in `sortedMap`.
 */
export type GoValue =
  | null
  | boolean
  | number
  | string
  | JsonNumber
  | readonly GoValue[]
  | ReadonlyMap<string, GoValue>
  | { readonly [name: string]: GoValue | undefined };

const encoder = new TextEncoder();

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

export function encodeGoJson(value: GoValue): Uint8Array {
  return encodeText(goJson(value));
}

/** Places surrogates above every other unit, so that UTF-16 units compare like the UTF-8 bytes of their characters. */
function byteRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Order of the UTF-8 bytes of two texts: below, at or above 0. */
export function compareBytes(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const difference = byteRank(left.charCodeAt(index)) - byteRank(right.charCodeAt(index));
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

export function sortedMap<T>(map: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return new Map([...map].sort(([left], [right]) => compareBytes(left, right)));
}

function goJson(value: GoValue): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return goString(value);
  if (typeof value === "number") {
    assert(Number.isSafeInteger(value), "numbers on the wire are whole");
    return String(value);
  }
  if (value instanceof JsonNumber) return value.text;
  if (isList(value)) return `[${value.map(goJson).join(",")}]`;
  return goObject(value instanceof Map ? value : Object.entries(value));
}

function goObject(members: Iterable<readonly [string, GoValue | undefined]>): string {
  const parts: string[] = [];
  for (const [name, value] of members) if (value !== undefined) parts.push(`${goString(name)}:${goJson(value)}`);
  return `{${parts.join(",")}}`;
}

function isList(value: object): value is readonly GoValue[] {
  return Array.isArray(value);
}

const SHORT_ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x08, "\\b"],
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0c, "\\f"],
  [0x0d, "\\r"],
  [0x22, '\\"'],
  [0x5c, "\\\\"],
]);

const ESCAPED: ReadonlySet<string> = new Set(['"', "\\", "<", ">", "&", "\u2028", "\u2029"]);

function goString(text: string): string {
  let out = "";
  let from = 0;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x20 && !ESCAPED.has(text[index] ?? "")) continue;
    out += text.slice(from, index) + (SHORT_ESCAPES.get(unit) ?? `\\u${unit.toString(16).padStart(4, "0")}`);
    from = index + 1;
  }
  return `"${out}${text.slice(from)}"`;
}
