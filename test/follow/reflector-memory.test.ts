import { test } from "node:test";
import { assertKeepsLittle } from "../support/keeps-little.ts";

// 50,000 of them take ten seconds: e2e/long/pods-memory.test.ts.
test("10,000 pods: what is not needed of them is not kept, and a new list keeps no second copy", () => {
  assertKeepsLittle(10_000);
});
