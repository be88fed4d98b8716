/** The README's command, whole: up, six steps and their drills, down. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mesh, traces } from "./mesh.ts";

const NAME = "e2e-tour";

// It goes by itself, unless it was killed.
after(() => mesh(NAME, ["down"]));

test("the tour holds, and leaves nothing behind", async () => {
  const { code, out, err } = await mesh(NAME, []);
  process.stdout.write(out);
  assert.equal(code, 0, err);
  for (const step of [1, 2, 3, 4, 5, 6]) assert.match(out, new RegExp(`^${step}\\. `, "m"));
  for (const drill of ["outage", "agents", "mirror", "policy"])
    assert.match(out, new RegExp(`^ {3}drill ${drill} +passed {3}[\\d,]+ connections, 0 failed`, "m"));
  assert.match(out, /The tour held/);
  assert.deepEqual(traces(NAME), []);
});
