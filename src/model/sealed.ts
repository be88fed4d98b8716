/** Files that end with the SHA-256 of all before it: nothing of one counts unless all of it does. */
import { createHash } from "node:crypto";

export type Unsealed =
  | { readonly ok: true; readonly body: Uint8Array; readonly digest: Uint8Array }
  /** One line. */
  | { readonly ok: false; readonly detail: string };

const DIGEST_BYTES = 32;

/** Pieces of such a file as they come: each is returned, to be written. */
export class Seal {
  readonly #hash = createHash("sha256");

  piece(bytes: Uint8Array): Uint8Array {
    this.#hash.update(bytes);
    return bytes;
  }

  /** The last piece. */
  digest(): Uint8Array {
    return this.#hash.digest();
  }
}

/** The last piece is the digest. */
export function* sealed(magic: Uint8Array, pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  const seal = new Seal();
  yield seal.piece(magic);
  for (const piece of pieces) yield seal.piece(piece);
  yield seal.digest();
}

/** @param what of which the magic is. */
export function unsealed(magic: Uint8Array, what: string, bytes: Uint8Array): Unsealed {
  const end = bytes.length - DIGEST_BYTES;
  if (end < magic.length) return { ok: false, detail: `it has ${bytes.length} bytes: it was cut off` };
  if (!magic.every((byte, index) => bytes[index] === byte)) return { ok: false, detail: `it is no ${what}` };
  const digest = createHash("sha256").update(bytes.subarray(0, end)).digest();
  if (digest.some((byte, index) => byte !== bytes[end + index]))
    return { ok: false, detail: "its checksum is wrong: it was cut off or damaged" };
  return { ok: true, body: bytes.subarray(magic.length, end), digest };
}
