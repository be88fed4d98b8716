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
  export default function assert(value: unknown, message?: string | Error): asserts value;
}

declare module "node:assert/strict" {
  type Message = string | Error;

  // A function, so that `assert(x)` narrows x.
  function assert(value: unknown, message?: Message): asserts value;
  // biome-ignore lint/style/noNamespace: a function with members, as in Node's own types
  namespace assert {
    function equal<T>(actual: unknown, expected: T, message?: Message): asserts actual is T;
    function deepEqual<T>(actual: unknown, expected: T, message?: Message): asserts actual is T;
    function fail(message?: Message): never;
  }
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
