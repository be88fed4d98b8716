/** A thin and long link: what passes shares its bandwidth, and arrives late. */
import { Transform } from "node:stream";

/** Bytes that leave in one go. */
const PIECE_BYTES = 4_096;

export class SlowLink {
  readonly #bytesPerSecond: number;
  readonly #delayMs: number;
  #freeAtMs = 0;
  /** Bytes that passed. */
  passed = 0;

  constructor(bytesPerSecond: number, delayMs: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#delayMs = delayMs;
  }

  /** For one of the connections that share the link. */
  lane(): Transform {
    const onTheWay: Buffer[] = [];
    const lane = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
          const piece = chunk.subarray(from, from + PIECE_BYTES);
          onTheWay.push(piece);
          setTimeout(() => lane.push(onTheWay.shift()), this.#leaves(piece) + this.#delayMs);
        }
        // Nothing more is taken from the sender before all of this has left.
        setTimeout(done, this.#freeAtMs - performance.now());
      },
      flush: (done) => void setTimeout(done, this.#freeAtMs - performance.now() + this.#delayMs + 1),
    });
    return lane;
  }

  /** In how many milliseconds. */
  #leaves({ length }: Buffer): number {
    const nowMs = performance.now();
    this.passed += length;
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + (length / this.#bytesPerSecond) * 1_000;
    return this.#freeAtMs - nowMs;
  }
}
