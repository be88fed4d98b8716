/** Loses a share of the packets to and from a port of the loopback, both ways: real TCP must send them again. */
import assert from "node:assert/strict";
import { command } from "../../deploy/lab/command.ts";

export class Lossy {
  readonly #table: string;

  private constructor(table: string) {
    this.#table = table;
  }

  /** @param percent of the packets, drawn one by one. */
  static async start(port: number, percent: number): Promise<Lossy> {
    const table = `bulkhead_test_${process.pid}_${port}`;
    const lose = (end: string): string =>
      `iifname lo tcp ${end} ${port} numgen random mod 100 < ${percent} counter name lost drop`;
    const rules = `table inet ${table} {
  counter lost { }
  chain input { type filter hook input priority 0; ${lose("sport")}; ${lose("dport")}; }
}`;
    await command(["nft", "-f", "-"], { input: rules });
    return new Lossy(table);
  }

  async lost(): Promise<number> {
    const packets = /packets (\d+)/.exec(await command(["nft", "list", "counter", "inet", this.#table, "lost"]))?.[1];
    assert(packets !== undefined);
    return Number(packets);
  }

  async end(): Promise<void> {
    await command(["nft", "delete", "table", "inet", this.#table]);
  }
}
