import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IpcacheCompiler } from "../../src/ipcache/ipcache-compiler.ts";
import { decodeIpcacheKey, decodeIpcacheValue } from "../../src/maps/ipcache-map.ts";
import { formatAddress } from "../../src/model/address.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { keyBytes } from "../../src/tables/desired-map.ts";
import { OSAKA, OWN, rowChanges, syncEverything, tablesAfter, VIRGINIA } from "../tables/world.ts";

function read({ entries }: IpcacheCompiler): Record<string, number> {
  const rows = [...entries.entries()].map(([key, value]) => {
    return [formatAddress(decodeIpcacheKey(keyBytes(key)).address), decodeIpcacheValue(value).identity] as const;
  });
  return Object.fromEntries(rows.sort());
}

const dumpOf = ({ entries }: IpcacheCompiler) =>
  [...entries.entries()].map(([key, value]) => [keyBytes(key), value] as const);

function finish(steps: Iterable<void>): void {
  for (const _ of steps);
}

function compiled(tables: AgentTables): IpcacheCompiler {
  const compiler = new IpcacheCompiler(tables);
  finish(compiler.update(tables.takeChanges()));
  return compiler;
}

test("the own cluster's claim wins, then the lowest id; the next one counts when the winner withdraws", () => {
  const tables = new AgentTables(OWN);
  const compiler = new IpcacheCompiler(tables);
  const now = (): Record<string, number> => {
    finish(compiler.update(tables.takeChanges()));
    return read(compiler);
  };
  tables.putIp(VIRGINIA, "10.1.0.1", 300);
  assert.deepEqual(now(), { "10.1.0.1": 300 });
  tables.putIp(OSAKA, "10.1.0.1", 100);
  assert.deepEqual(now(), { "10.1.0.1": 100 });
  tables.putIp(OWN, "10.1.0.1", 200);
  assert.deepEqual(now(), { "10.1.0.1": 200 });
  tables.remove(OWN.name, "ip", "10.1.0.1");
  assert.deepEqual(now(), { "10.1.0.1": 100 });
  tables.remove(OSAKA.name, "ip", "10.1.0.1");
  tables.remove(VIRGINIA.name, "ip", "10.1.0.1");
  assert.deepEqual(now(), {});
});

test("CIDR entries are counted, not programmed", () => {
  const tables = new AgentTables(OWN);
  tables.putIp(OSAKA, "10.1.0.0/24", 100);
  const compiler = compiled(tables);
  assert.deepEqual([compiler.notProgrammed, read(compiler)], [1, {}]);
  tables.remove(OSAKA.name, "ip", "10.1.0.0/24");
  finish(compiler.update(tables.takeChanges()));
  assert.equal(compiler.notProgrammed, 0);
});

test("incremental equals full", () => {
  fc.assert(
    fc.property(fc.array(rowChanges, { maxLength: 6 }), (rounds) => {
      const tables = tablesAfter([]);
      const incremental = new IpcacheCompiler(tables);
      for (const round of rounds) {
        for (const change of round) change(tables);
        finish(incremental.update(tables.takeChanges()));
      }
      assert.deepEqual(read(incremental), read(compiled(tablesAfter(rounds.flat()))));
    }),
    { numRuns: 200 },
  );
});

test("a restart keeps what the kernel held until its cluster is complete, then equals the tables", () => {
  fc.assert(
    fc.property(rowChanges, rowChanges, (changes, later) => {
      const before = compiled(tablesAfter(changes));
      const tables = tablesAfter([]);
      const after = new IpcacheCompiler(tables);
      after.adopt(dumpOf(before));
      finish(after.update(tables.takeChanges()));
      assert.deepEqual(read(after), read(before));
      for (const change of [...later, syncEverything]) change(tables);
      finish(after.update(tables.takeChanges()));
      assert.deepEqual(read(after), read(compiled(tablesAfter(later))));
      assert.equal(after.retainedClusters().size, 0);
    }),
    { numRuns: 200 },
  );
});

test("an address of one cluster that is not complete survives another cluster's being complete", () => {
  const before = compiled(
    tablesAfter([
      (tables) => tables.putIp(OSAKA, "10.1.0.1", 100),
      (tables) => tables.putIp(VIRGINIA, "10.1.0.2", 300),
    ]),
  );
  const tables = new AgentTables(OWN);
  const after = new IpcacheCompiler(tables);
  after.adopt(dumpOf(before));
  tables.setSynced(VIRGINIA.id, "ip", true);
  finish(after.update(tables.takeChanges()));
  assert.deepEqual(read(after), { "10.1.0.1": 100 });
});
