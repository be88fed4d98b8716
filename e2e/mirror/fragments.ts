/** Reads an etcd's answers as they pass (HTTP/2 frames, the gRPC messages in them), and cuts the connection in the middle of a fragmented watch response. */
import { Transform } from "node:stream";

const FRAME_HEAD_BYTES = 9;
const DATA_FRAME = 0;
const MESSAGE_HEAD_BYTES = 5;
/** Of WatchResponse. */
const FRAGMENT_FIELD = 7;
const LENGTH_DELIMITED = 2;
/**
 * After a fragment. A server sends no more than one window (64 KiB) ahead of what the client has taken: with more than that behind
 * it, the fragment has arrived.
 */
const INTO_THE_NEXT_BYTES = 128 * 1024;

/** A number in 7 bits a byte. Returns it and where it ends. */
function varint(bytes: Buffer, from: number): readonly [number, number] {
  let [value, at] = [0, from];
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
}

/** Whether a WatchResponse says that more of it follows. Fields come in ascending order, events last. */
function isFragment(message: Buffer): boolean {
  for (let at = 0; at < message.length; ) {
    const [tag, valueAt] = varint(message, at);
    if (tag >> 3 > FRAGMENT_FIELD) return false;
    const [value, end] = varint(message, valueAt);
    if (tag >> 3 === FRAGMENT_FIELD) return value === 1;
    at = (tag & 7) === LENGTH_DELIMITED ? end + value : end;
  }
  return false;
}

class Answers {
  #frames: Buffer = Buffer.alloc(0);
  /** HTTP/2 stream -> the beginning of its next message. */
  readonly #messages = new Map<number, Buffer>();
  /** Streams whose last whole message was a fragment. */
  readonly #fragmented = new Set<number>();
  /** Fragments that passed whole. */
  fragments = 0;

  read(chunk: Buffer): void {
    let rest = Buffer.concat([this.#frames, chunk]);
    while (rest.length >= FRAME_HEAD_BYTES) {
      const end = FRAME_HEAD_BYTES + rest.readUIntBE(0, 3);
      if (rest.length < end) break;
      if (rest[3] === DATA_FRAME) this.#data(rest.readUInt32BE(5), rest.subarray(FRAME_HEAD_BYTES, end));
      rest = rest.subarray(end);
    }
    this.#frames = rest;
  }

  #data(stream: number, payload: Buffer): void {
    let rest = Buffer.concat([this.#messages.get(stream) ?? Buffer.alloc(0), payload]);
    while (rest.length >= MESSAGE_HEAD_BYTES) {
      const end = MESSAGE_HEAD_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) break;
      if (isFragment(rest.subarray(MESSAGE_HEAD_BYTES, end))) {
        this.fragments++;
        this.#fragmented.add(stream);
      } else this.#fragmented.delete(stream);
      rest = rest.subarray(end);
    }
    this.#messages.set(stream, rest);
  }

  get inTheMiddle(): boolean {
    return [...this.#fragmented].some((stream) => (this.#messages.get(stream)?.length ?? 0) >= INTO_THE_NEXT_BYTES);
  }
}

export class FragmentCutter {
  armed = false;
  /** Connections cut: each had passed a fragment whole, and a part of the next one. */
  cuts = 0;
  /** Fragments that passed whole, over all connections. */
  fragments = 0;

  lane(): Transform {
    const answers = new Answers();
    const lane = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const before = answers.fragments;
        answers.read(chunk);
        this.fragments += answers.fragments - before;
        if (!this.armed || !answers.inTheMiddle) {
          done(null, chunk);
          return;
        }
        this.cuts++;
        lane.destroy();
      },
    });
    return lane;
  }
}
