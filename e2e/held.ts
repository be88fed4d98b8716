/**
 * Connections that last: `held.ts ADDRESS PORT COUNT [EVERY_MS]` opens them and says `open`; once its input ends it asks on each, and prints who answered
 * how often and how many bytes came back. With EVERY_MS each one sends bytes that often, and must get them back in order.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { every, sleep, systemClock } from "../src/runtime/clock.ts";

const [host = "", port, count, everyMs] = process.argv.slice(2);

const CHUNK_BYTES = 1_000;
/** Bytes that nobody takes for HTTP, the same again only after a prime number of them. */
const PATTERN = Buffer.from(Array.from({ length: 65_521 }, (_, at) => 0x80 | ((at * 131 + (at >> 7) * 29) & 0x7f)));
/** Places in the pattern between the beginnings of two connections. */
const STRIDE = 1_009;
const WITHIN_MS = 30_000;
const POLL_MS = 50;

class Held {
  readonly #socket: Socket;
  readonly #start: number;
  #sent = 0;
  #back = 0;
  /** Why nothing is expected of it any more. */
  #fault: string | undefined;

  constructor(socket: Socket, index: number) {
    this.#socket = socket;
    this.#start = index * STRIDE;
    socket.on("error", ({ message }) => this.#ends(`cut: ${message}`));
    socket.on("close", () => this.#ends("cut"));
    socket.on("end", () => this.#ends("cut"));
    socket.on("data", this.#comesBack);
  }

  get bytes(): number {
    return this.#back;
  }

  exchange(): void {
    if (this.#fault !== undefined) return;
    this.#socket.write(Buffer.from(Array.from({ length: CHUNK_BYTES }, (_, at) => this.#byteAt(this.#sent + at))));
    this.#sent += CHUNK_BYTES;
  }

  /** `cluster/pod`, or what is wrong with it. */
  async ask(): Promise<string> {
    const untilMs = systemClock.nowMs() + WITHIN_MS;
    while (this.#fault === undefined && this.#back < this.#sent) {
      if (systemClock.nowMs() > untilMs) return `silent: ${this.#sent - this.#back} bytes did not come back`;
      await sleep(systemClock, POLL_MS);
    }
    if (this.#fault !== undefined) return this.#fault;
    this.#socket.off("data", this.#comesBack);
    return await new Promise((resolve) => {
      this.#socket.once("close", () => resolve("cut"));
      this.#socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1").trim().split("\n").at(-1) ?? ""));
      this.#socket.write("GET / HTTP/1.1\r\nHost: held\r\n\r\n");
    });
  }

  end(): void {
    this.#socket.resetAndDestroy();
  }

  readonly #comesBack = (bytes: Buffer): void => {
    for (const byte of bytes) {
      if (byte !== this.#byteAt(this.#back)) this.#ends(`wrong: byte ${this.#back}`);
      this.#back++;
    }
  };

  #byteAt(place: number): number {
    return PATTERN[(this.#start + place) % PATTERN.length] ?? 0;
  }

  #ends(why: string): void {
    this.#fault ??= why;
  }
}

async function opened(index: number): Promise<Held> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, "connect");
  return new Held(socket, index);
}

const held = await Promise.all(Array.from({ length: Number(count) }, (_, index) => opened(index)));
const asked = new AbortController();
if (everyMs !== undefined) {
  every(systemClock, Number(everyMs), asked.signal, () => {
    for (const one of held) one.exchange();
  });
}
process.stdout.write("open\n");
process.stdin.resume();
await once(process.stdin, "end");
asked.abort();
const answers: Record<string, number> = {};
for (const who of await Promise.all(held.map((one) => one.ask()))) answers[who] = (answers[who] ?? 0) + 1;
const bytes = held.reduce((sum, one) => sum + one.bytes, 0);
process.stdout.write(`${JSON.stringify({ answers, bytes })}\n`);
for (const one of held) one.end();
