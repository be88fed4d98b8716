import { test } from "node:test";
import { assertKeepsLittle } from "../../test/support/keeps-little.ts";

const MIB = 1024 * 1024;

test("50,000 pods fit into a heap of 144 MiB, of which client-node has 55; a new list keeps no second copy", async (t) => {
  const use = await assertKeepsLittle(50_000, 144);
  for (const what of ["pageBytes", "baseBytes", "listedBytes", "againBytes", "peakBytes"] as const) {
    t.diagnostic(`${what.replace("Bytes", "")}: ${Math.round(use[what] / MIB)} MiB`);
  }
});
