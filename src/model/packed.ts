/** Numbers, texts and bytes one after the other, little-endian: how files of our own are laid out. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const FIRST_BYTES = 1_024;

export class PackedWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }

  /** Any number, exactly. */
  f64(value: number): this {
    const at = this.#grow(8);
    this.#view.setFloat64(at, value, true);
    return this;
  }

  /** The reader has to know how many. */
  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Its length in bytes, then the text. */
  text(value: string): this {
    if (this.#ascii(value)) return this;
    const bytes = encoder.encode(value);
    return this.u32(bytes.length).bytes(bytes);
  }

  /** Nearly every key: an encoder's call for each takes five times as long. Whether it was one. */
  #ascii(value: string): boolean {
    const before = this.#size;
    let at = this.u32(value.length).#grow(value.length);
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code > 0x7f) {
        this.#size = before;
        return false;
      }
      this.#bytes[at++] = code;
    }
    return true;
  }

  /** What was written since the last call. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#size);
    this.#size = 0;
    return taken;
  }

  /** Returns where the new ones begin. */
  #grow(count: number): number {
    const at = this.#size;
    this.#size += count;
    if (this.#size <= this.#bytes.length) return at;
    const larger = new Uint8Array(Math.max(this.#size, 2 * this.#bytes.length));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
    return at;
  }
}

/** Never throws: behind the end there are zeros, and it says so. */
export class PackedReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #longestText: number;
  #at = 0;
  #overrun = false;

  constructor(bytes: Uint8Array, longestText: number) {
    // Not what a file's reader made of it: a slice of a Buffer is no copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#longestText = longestText;
  }

  /** Something was asked for that is not there. */
  get overrun(): boolean {
    return this.#overrun;
  }

  get done(): boolean {
    return this.#overrun || this.#at === this.#bytes.length;
  }

  /** What was read makes no sense. */
  fail(): void {
    this.#overrun = true;
  }

  /** A view. */
  bytes(size: number): Uint8Array {
    const at = this.#pass(size);
    return at < 0 ? new Uint8Array() : this.#bytes.subarray(at, at + size);
  }

  /** A view of what was not read yet. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  u32(): number {
    const at = this.#pass(4);
    return at < 0 ? 0 : this.#view.getUint32(at, true);
  }

  u64(): bigint {
    const at = this.#pass(8);
    return at < 0 ? 0n : this.#view.getBigUint64(at, true);
  }

  f64(): number {
    const at = this.#pass(8);
    return at < 0 ? 0 : this.#view.getFloat64(at, true);
  }

  text(): string {
    const size = this.u32();
    if (size > this.#longestText) this.fail();
    return decoder.decode(this.bytes(size));
  }

  /** Returns where what was passed begins; -1: it is not there. */
  #pass(size: number): number {
    if (this.#overrun || size > this.#bytes.length - this.#at) {
      this.#overrun = true;
      return -1;
    }
    this.#at += size;
    return this.#at - size;
  }
}
