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
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const BRACE_END = 0x7d;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
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

  #skipSpace(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== SPACE && unit !== NEWLINE && unit !== RETURN && unit !== TAB) return;
      this.#at++;
    }
  }

  /** Skips white space, then takes the character if it comes next. */
  #takes(unit: number): boolean {
    this.#skipSpace();
    if (this.#text.charCodeAt(this.#at) !== unit) return false;
    this.#at++;
    return true;
  }

  #value(depth: number): Tree {
    if (depth > MAX_DEPTH) throw this.#fault(`nests deeper than ${MAX_DEPTH} levels`);
    this.#skipSpace();
    const unit = this.#text.charCodeAt(this.#at);
    if (unit === QUOTE || unit === BRACE || unit === BRACKET) {
      this.#at++;
      return unit === QUOTE ? this.#string() : unit === BRACE ? this.#object(depth) : this.#array(depth);
    }
    if (unit === MINUS || (unit >= DIGIT_0 && unit <= DIGIT_9)) return this.#number();
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
    if (this.#takes(BRACE_END)) return members;
    do {
      if (!this.#takes(QUOTE)) throw this.#fault("lacks a name");
      const name = this.#string();
      if (members.has(name)) throw new Refusal("duplicate-name", "the name occurs twice in one object", [name]);
      if (!this.#takes(COLON)) throw this.#fault("lacks a colon");
      members.set(name, this.#value(depth + 1));
    } while (this.#takes(COMMA));
    if (!this.#takes(BRACE_END)) throw this.#fault("has an object without end");
    return members;
  }

  #array(depth: number): Tree {
    const items: Tree[] = [];
    if (this.#takes(BRACKET_END)) return items;
    do items.push(this.#value(depth + 1));
    while (this.#takes(COMMA));
    if (!this.#takes(BRACKET_END)) throw this.#fault("has an array without end");
    return items;
  }

  /** After the opening quote. Lone surrogates are refused: a Go reader would see another text. */
  #string(): string {
    let text = "";
    let from = this.#at;
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit === QUOTE) break;
      if (!(unit >= SPACE)) throw this.#fault("has a bad string");
      this.#at++;
      if (unit !== BACKSLASH) continue;
      text += this.#text.slice(from, this.#at - 1) + this.#escape();
      from = this.#at;
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
      if (!(unit >= DIGIT_0 && unit <= DIGIT_9)) return this.#at - from;
      this.#at++;
    }
  }

  #number(): Tree {
    const from = this.#at;
    let plain = true;
    if (this.#text[this.#at] === "-") this.#at++;
    const leading = this.#text[this.#at];
    const digits = this.#digits();
    if (digits === 0 || (leading === "0" && digits > 1)) throw this.#fault("has no value");
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
