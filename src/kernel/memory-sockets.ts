/** Sockets in memory: a test says what is open where. */
import type { ConnectedSocket, NodeSockets } from "./door.ts";

export class MemorySockets implements NodeSockets {
  readonly #open = new Map<string, ConnectedSocket[]>();
  unreached = 0;

  open(namespace: string, socket: ConnectedSocket): void {
    this.#open.set(namespace, [...(this.#open.get(namespace) ?? []), socket]);
  }

  /** Cookies of those that are still open. */
  cookies(): readonly bigint[] {
    return [...this.#open.values()].flat().map(({ cookie }) => cookie);
  }

  namespaces(): { readonly paths: readonly string[]; readonly unreached: number } {
    return { paths: [...this.#open.keys()], unreached: this.unreached };
  }

  closeUdp(namespace: string, limit: number, chosen: (socket: ConnectedSocket) => boolean): readonly ConnectedSocket[] {
    const open = this.#open.get(namespace) ?? [];
    const closed = open.filter((socket) => chosen(socket)).slice(0, limit);
    this.#open.set(
      namespace,
      open.filter((socket) => !closed.includes(socket)),
    );
    return closed;
  }
}
