/**
 * JSON of peers, read by one bounded pass. Go readers match names without regard to case and let the last of two equal names
 * win; so that nobody can show us one value and Cilium another, duplicate names are refused here and folded ones in `Shape`.
 * Objects become Maps (no prototype to pollute); numbers stay as written unless they are plain safe integers.
 */
import { Refusal } from "./refusal.ts";

/** A number that is no plain safe integer (`1.5`, `1e3`, `-0`, 2^53 and beyond), as it was written. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Tree = null | boolean | number | string | JsonNumber | readonly Tree[] | ReadonlyMap<string, Tree>;

/** Deepest nesting accepted; Cilium's own values have at most five levels. */
export const MAX_DEPTH = 32;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of UTF-8 bytes; refuses anything that is not UTF-8, where Go would put replacement characters. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Refusal("malformed", "is not UTF-8");
  }
}

/** Parses one JSON document. Throws a Refusal. */
export function parseJson(bytes: Uint8Array): Tree {
  return new Parser(decodeText(bytes)).document();
}

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const END_BRACE = 0x7d;
const BRACKET = 0x5b;
const END_BRACKET = 0x5d;
const ZERO = 0x30;
const NINE = 0x39;
const POINT = 0x2e;
const SMALL_E = 0x65;
const LARGE_E = 0x45;
/** As many digits are always a safe integer. */
const SAFE_DIGITS = 15;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Tree {
    const tree = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#fault("ends too late");
    return tree;
  }

  #fault(what: string): Refusal {
    return new Refusal("malformed", `JSON ${what} at character ${this.#at}`);
  }

  /** Returns what comes after white space; NaN at the end. */
  #skipSpace(): number {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      // Most of what is written is none.
      if (unit > SPACE) return unit;
      if (unit !== SPACE && unit !== NEWLINE && unit !== RETURN && unit !== TAB) return unit;
      this.#at++;
    }
  }

  /** Skips white space, then takes `unit` if it comes next. */
  #takes(unit: number): boolean {
    if (this.#skipSpace() !== unit) return false;
    this.#at++;
    return true;
  }

  #value(depth: number): Tree {
    if (depth > MAX_DEPTH) throw this.#fault(`nests deeper than ${MAX_DEPTH} levels`);
    const unit = this.#skipSpace();
    if (unit >= ZERO && unit <= NINE) return this.#number();
    if (unit === QUOTE || unit === BRACE || unit === BRACKET) {
      this.#at++;
      return unit === QUOTE ? this.#string() : unit === BRACE ? this.#object(depth) : this.#array(depth);
    }
    if (this.#takesWord("true")) return true;
    if (this.#takesWord("false")) return false;
    if (this.#takesWord("null")) return null;
    return this.#number();
  }

  #takesWord(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #object(depth: number): Tree {
    const members = new Map<string, Tree>();
    if (this.#takes(END_BRACE)) return members;
    do {
      if (!this.#takes(QUOTE)) throw this.#fault("lacks a name");
      const name = this.#string();
      if (!this.#takes(COLON)) throw this.#fault("lacks a colon");
      const before = members.size;
      members.set(name, this.#value(depth + 1));
      if (members.size === before) throw new Refusal("duplicate-name", "the name occurs twice in one object", [name]);
    } while (this.#takes(COMMA));
    if (!this.#takes(END_BRACE)) throw this.#fault("has an object without end");
    return members;
  }

  #array(depth: number): Tree {
    const items: Tree[] = [];
    if (this.#takes(END_BRACKET)) return items;
    do items.push(this.#value(depth + 1));
    while (this.#takes(COMMA));
    if (!this.#takes(END_BRACKET)) throw this.#fault("has an array without end");
    return items;
  }

  /** After the opening quote. Lone surrogates are refused: a Go reader would see another text. */
  #string(): string {
    const all = this.#text;
    let text = "";
    let from = this.#at;
    for (let at = from; ; at++) {
      const unit = all.charCodeAt(at);
      if (unit > BACKSLASH || (unit >= SPACE && unit !== QUOTE && unit !== BACKSLASH)) continue;
      this.#at = at;
      if (unit === QUOTE) break;
      if (unit !== BACKSLASH) throw this.#fault("has a bad string");
      this.#at++;
      text += all.slice(from, at) + this.#escape();
      from = this.#at;
      at = from - 1;
    }
    const tail = this.#text.slice(from, this.#at++);
    // Decoded UTF-8 has no halves of its own.
    if (text === "") return tail;
    text += tail;
    if (!text.isWellFormed()) throw this.#fault("has half a surrogate pair in a string");
    return text;
  }

  #escape(): string {
    const letter = this.#text[this.#at++] ?? "";
    const plain = ESCAPES.get(letter);
    if (plain !== undefined) return plain;
    if (letter !== "u") throw this.#fault("has a bad escape");
    const code = this.#hex(this.#text.slice(this.#at, this.#at + 4));
    this.#at += 4;
    return String.fromCharCode(code);
  }

  #hex(digits: string): number {
    let code = 0;
    for (const digit of digits) code = code * 16 + "0123456789abcdef".indexOf(digit.toLowerCase());
    if (digits.length !== 4 || !/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#fault("has a bad escape");
    return code;
  }

  #digits(): number {
    const from = this.#at;
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (!(unit >= ZERO && unit <= NINE)) return this.#at - from;
      this.#at++;
    }
  }

  #number(): Tree {
    const from = this.#at;
    let plain = true;
    if (this.#text[this.#at] === "-") this.#at++;
    const leading = this.#text.charCodeAt(this.#at);
    const digits = this.#digits();
    if (digits === 0 || (leading === ZERO && digits > 1)) throw this.#fault("has no value");
    const next = this.#text.charCodeAt(this.#at);
    const ends = next !== POINT && next !== SMALL_E && next !== LARGE_E;
    if (ends && digits <= SAFE_DIGITS && this.#at - digits === from) return Number(this.#text.slice(from, this.#at));
    if (this.#text[this.#at] === ".") {
      plain = false;
      this.#at++;
      if (this.#digits() === 0) throw this.#fault("has a bad number");
    }
    if (this.#text[this.#at] === "e" || this.#text[this.#at] === "E") {
      plain = false;
      this.#at++;
      if (this.#text[this.#at] === "+" || this.#text[this.#at] === "-") this.#at++;
      if (this.#digits() === 0) throw this.#fault("has a bad number");
    }
    const text = this.#text.slice(from, this.#at);
    const number = Number(text);
    return plain && Number.isSafeInteger(number) && !Object.is(number, -0) ? number : new JsonNumber(text);
  }
}
