/** What a command in a container writes, as the engine sends it: frames of standard output and standard error in one stream. */
import { DockerError } from "./door.ts";

const HEADER_BYTES = 8;
const STDERR = 2;
const MAX_FRAME_BYTES = 1024 * 1024;
/** A line that is longer is cut there. */
const MAX_LINE_BYTES = 64 * 1024;

/** Frames in, lines out; pieces may be cut anywhere. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  readonly #partial = { out: "", error: "" };
  readonly #last = { out: "", error: "" };

  /** Returns the lines of standard output that these bytes complete. @throws DockerError */
  push(bytes: Uint8Array): readonly string[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const lines: string[] = [];
    while (this.#rest.length >= HEADER_BYTES) {
      const length = this.#rest.readUInt32BE(4);
      if (length > MAX_FRAME_BYTES) throw new DockerError("too-large", `a frame of ${length} bytes`);
      const end = HEADER_BYTES + length;
      if (this.#rest.length < end) break;
      const stream = this.#rest[0] === STDERR ? "error" : "out";
      const whole = this.#lines(stream, this.#rest.toString("utf8", HEADER_BYTES, end));
      if (stream === "out") lines.push(...whole);
      this.#rest = this.#rest.subarray(end);
    }
    return lines;
  }

  /** What was said last, whole line or not: on standard error, or where an engine says why it could not start the command. */
  get complaint(): string {
    const [error, out] = [this.#partial.error || this.#last.error, this.#partial.out || this.#last.out];
    return (error || out).trim();
  }

  #lines(stream: "out" | "error", text: string): readonly string[] {
    const lines = `${this.#partial[stream]}${text}`.split("\n");
    this.#partial[stream] = (lines.pop() ?? "").slice(0, MAX_LINE_BYTES);
    const whole = lines.map((line) => line.trimEnd()).filter((line) => line !== "");
    this.#last[stream] = whole.at(-1) ?? this.#last[stream];
    return whole;
  }
}
