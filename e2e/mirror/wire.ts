/** A wire that the test holds in its hand: TCP from a port of its own to a target, cut, frozen, slowed or led elsewhere at will. Loopback only. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../../test/support/free-port.ts";

export interface Slowness {
  readonly bytesPerSecond: number;
  readonly delayMs: number;
}

export class Wire {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number;
  /** Connections accepted. */
  accepted = 0;
  #open = true;
  /** Of connections made from then on. */
  slowness: Slowness | undefined;
  /** Bytes that came from the target. */
  carried = 0;
  #cutAtBytes = Number.POSITIVE_INFINITY;

  private constructor(port: number, target: number) {
    this.port = port;
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(target: number): Promise<Wire> {
    const wire = new Wire(await freePort(), target);
    await new Promise<void>((resolve) => wire.#server.listen(wire.port, "127.0.0.1", resolve));
    return wire;
  }

  #accept(near: Socket): void {
    this.accepted++;
    if (!this.#open) {
      near.destroy();
      return;
    }
    const far = connect(this.#target, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      if (this.slowness) slowly(from, to, this.slowness);
      else from.pipe(to);
      if (from === far) from.on("data", (chunk: Buffer) => this.#carry(chunk.length));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  /** Nothing passes any more, and nobody is told. */
  freeze(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  /** Ends every connection; new ones are accepted while `open`. */
  cut(open = true): void {
    this.#open = open;
    for (const socket of [...this.#sockets]) socket.destroy();
  }

  #carry(bytes: number): void {
    this.carried += bytes;
    if (this.carried < this.#cutAtBytes) return;
    this.#cutAtBytes = Number.POSITIVE_INFINITY;
    this.cut();
  }

  /** Cuts every connection once so many more bytes came from the target. */
  cutAfter(bytes: number): void {
    this.#cutAtBytes = this.carried + bytes;
  }

  leadTo(target: number): void {
    this.#target = target;
    this.cut();
  }

  close(): void {
    this.cut(false);
    this.#server.close();
  }
}

/** Hands on as much in a second and no more, each byte after a while. Backpressure reaches the sender. */
function slowly(from: Socket, to: Socket, { bytesPerSecond, delayMs }: Slowness): void {
  from.on("data", (chunk: Buffer) => {
    from.pause();
    setTimeout(() => from.resume(), (chunk.length / bytesPerSecond) * 1_000);
    setTimeout(() => to.destroyed || to.write(chunk), (chunk.length / bytesPerSecond) * 1_000 + delayMs);
  });
}
