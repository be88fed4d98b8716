import assert from "node:assert/strict";
import { test } from "node:test";
import { SourceTable } from "../../src/tables/source-table.ts";

function filled(): SourceTable<number> {
  const table = new SourceTable<number>();
  for (const [key, row] of Object.entries({ a: 1, b: 2, c: 3 })) table.put(key, row);
  return table;
}

test("a listing alone takes nothing away", () => {
  const table = filled();
  table.mark();
  table.put("a", 10);
  assert.deepEqual([table.size, table.held, table.get("a"), table.get("b")], [3, 2, 10, 2]);
});

test("a complete listing sweeps what it did not show; refused values count as shown", () => {
  const table = filled();
  table.mark();
  table.put("a", 10);
  table.touch("b");
  assert.deepEqual(table.sweep(), [["c", 3]]);
  assert.deepEqual([table.size, table.held, table.get("b")], [2, 0, 2]);
});

test("without a mark there is nothing to sweep, and a row put late is not swept", () => {
  const table = filled();
  assert.deepEqual(table.sweep(), []);
  table.mark();
  table.delete("b");
  table.put("d", 4);
  assert.deepEqual(table.sweep(), [
    ["a", 1],
    ["c", 3],
  ]);
  assert.deepEqual([...table.keys()], ["d"]);
});
