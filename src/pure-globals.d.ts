// All that pure rooms know of the world outside the language: what is deterministic and synchronous, and no more.
// They are type-checked with this file in place of Node's types (tsconfig.pure.json).

declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}

declare class TextDecoder {
  constructor(encoding?: "utf-8", options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean });
  decode(bytes?: Uint8Array): string;
}

declare module "node:assert" {
  type Message = string | Error;
  type Assert = {
    (value: unknown, message?: Message): asserts value;
    ok(value: unknown, message?: Message): asserts value;
    strictEqual<T>(actual: unknown, expected: T, message?: Message): asserts actual is T;
    deepStrictEqual<T>(actual: unknown, expected: T, message?: Message): asserts actual is T;
    fail(message?: Message): never;
  };
  const assert: Assert;
  export default assert;
}

declare module "node:assert/strict" {
  import type { Assert, Message } from "node:assert";

  type StrictAssert = Assert & {
    equal<T>(actual: unknown, expected: T, message?: Message): asserts actual is T;
    deepEqual<T>(actual: unknown, expected: T, message?: Message): asserts actual is T;
  };
  const assert: StrictAssert;
  export default assert;
}

declare module "node:crypto" {
  type Hash = {
    update(data: string | Uint8Array): Hash;
    digest(): Uint8Array<ArrayBuffer>;
    digest(encoding: "hex" | "base64" | "base64url"): string;
  };
  export function createHash(algorithm: "sha256" | "sha512" | "sha1" | "md5"): Hash;
  export function hash(algorithm: "sha256" | "sha512" | "sha1" | "md5", data: string | Uint8Array): string;
}

declare module "node:zlib" {
  type Options = { readonly level?: number; readonly maxOutputLength?: number };
  type Bytes = Uint8Array<ArrayBuffer>;
  export function crc32(data: string | Uint8Array, value?: number): number;
  export function gzipSync(data: Uint8Array, options?: Options): Bytes;
  export function gunzipSync(data: Uint8Array, options?: Options): Bytes;
  export function zstdCompressSync(data: Uint8Array, options?: Options): Bytes;
  export function zstdDecompressSync(data: Uint8Array, options?: Options): Bytes;
}
