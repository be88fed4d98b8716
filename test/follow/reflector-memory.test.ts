import { test } from "node:test";
import { assertKeepsLittle } from "../support/keeps-little.ts";

// 50,000 of them, in a heap that is limited to what they need: e2e/long/pods-memory.test.ts.
test("5,000 pods: what is not needed of them is not kept, and a new list keeps no second copy", async () => {
  await assertKeepsLittle(5_000, 256);
});
