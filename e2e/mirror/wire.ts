/** A wire that the test holds in its hand: TCP from a port of its own to a target, cut, frozen or led elsewhere at will. Loopback only. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { PassThrough, type Transform } from "node:stream";
import { freePort } from "../../test/support/free-port.ts";

export class Wire {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What the answers of one connection pass through; the connection ends with it. */
  readonly #through: () => Transform;
  #target: number;
  /** Connections accepted. */
  accepted = 0;
  #open = true;

  private constructor(port: number, target: number, through: () => Transform) {
    this.port = port;
    this.#target = target;
    this.#through = through;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(target: number, through: () => Transform = () => new PassThrough()): Promise<Wire> {
    const wire = new Wire(await freePort(), target, through);
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
    const answers = this.#through();
    near.pipe(far).pipe(answers).pipe(near);
    for (const socket of [near, far]) this.#sockets.add(socket);
    for (const part of [near, far, answers]) {
      part.on("error", () => part.destroy());
      part.on("close", () => {
        for (const socket of [near, far]) this.#sockets.delete(socket);
        for (const other of [near, far, answers]) other.destroy();
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

  leadTo(target: number): void {
    this.#target = target;
    this.cut();
  }

  close(): void {
    this.cut(false);
    this.#server.close();
  }
}
