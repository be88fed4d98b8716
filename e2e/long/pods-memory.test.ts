import { test } from "node:test";
import { assertKeepsLittle } from "../../test/support/keeps-little.ts";

test("50,000 pods: what is not needed of them is not kept, and a new list keeps no second copy", () => {
  assertKeepsLittle(50_000);
});
