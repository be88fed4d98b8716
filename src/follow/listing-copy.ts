/** A listing on its way to the disk while it is read. It counts only if it became whole; a disk that is too slow for it gets none, and nobody waits. */
import { PackedWriter } from "../model/packed.ts";
import { Seal } from "../model/sealed.ts";
import type { ListedPage } from "./list.ts";
import { LISTING_MAGIC, type ListingHead, PIECE_BYTES, write, writeHead } from "./listing-file.ts";

/** Bytes that wait for the disk at most. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024;

export class ListingCopy implements AsyncIterable<Uint8Array> {
  readonly #seal = new Seal();
  readonly #writer: PackedWriter;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #state: "open" | "whole" | "dropped" | "too slow" = "open";
  #wake: () => void = () => undefined;

  constructor(head: ListingHead) {
    this.#waiting.push(this.#seal.piece(LISTING_MAGIC));
    this.#writer = writeHead(new PackedWriter(), head);
  }

  /** It is of no use, for a reason that has nothing to do with the disk. */
  get isDropped(): boolean {
    return this.#state === "dropped";
  }

  page({ range, kvs }: ListedPage): void {
    for (const kv of kvs) {
      if (this.#state !== "open") return;
      write(this.#writer, { range, event: { type: "put", kv } });
      if (this.#writer.size >= PIECE_BYTES) this.#push(this.#seal.piece(this.#writer.take()));
    }
  }

  /** That was all. */
  end(): void {
    if (this.#state !== "open") return;
    this.#push(this.#seal.piece(this.#writer.take()));
    this.#push(this.#seal.digest());
    this.#finish("whole");
  }

  /** The listing broke off, or is doubted. Nothing happens if it ended before. */
  drop(): void {
    if (this.#state === "open") this.#finish("dropped");
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#state === "dropped") throw new Error("the listing is not whole");
      if (this.#state === "too slow") throw new Error("the disk is too slow");
      const piece = this.#waiting.shift();
      if (piece !== undefined) {
        this.#waitingBytes -= piece.length;
        yield piece;
      } else if (this.#state === "whole") return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  #push(piece: Uint8Array): void {
    this.#waiting.push(piece);
    this.#waitingBytes += piece.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#finish("too slow");
    this.#wake();
  }

  #finish(state: "whole" | "dropped" | "too slow"): void {
    if (this.#state !== "open") return;
    this.#state = state;
    if (state !== "whole") this.#waiting = [];
    this.#wake();
  }
}
