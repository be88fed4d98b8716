/** The lab's own driver dies half-way: the next start says so, and `down` finds everything. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { waitFor } from "../deploy/lab/lab.ts";
import { readState } from "../deploy/lab/state.ts";
import { launchMesh, mesh, plan, traces } from "./mesh.ts";

const NAME = "e2e-crash";
/** All etcds and pods run by then, and some of the programs. */
const PROCESSES = 14;
const STARTED_WITHIN_MS = 60_000;

after(async () => {
  await mesh(NAME, ["down"]);
});

test("kill -9 of the lab, then `down`", async () => {
  const child = launchMesh(NAME, []);
  await waitFor("the lab has processes", STARTED_WITHIN_MS, () =>
    (readState(plan(NAME))?.processes.length ?? 0) >= PROCESSES ? true : undefined,
  );

  const second = await mesh(NAME, []);
  assert.equal(second.code, 2);
  assert.match(second.err, /^mesh: .*is being run by process \d+; .*\n$/);

  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  assert.ok(traces(NAME).length > PROCESSES, "the crash left things behind");

  const third = await mesh(NAME, ["up"]);
  assert.equal(third.code, 2);
  assert.match(third.err, /^mesh: .*left behind .*npm run mesh -- down --name e2e-crash.*\n$/);

  const down = await mesh(NAME, ["down"]);
  assert.equal(down.code, 0, down.err);
  assert.deepEqual(traces(NAME), []);
});

test("an interrupt removes everything", async () => {
  const child = launchMesh(NAME, []);
  await waitFor("the lab has processes", STARTED_WITHIN_MS, () =>
    (readState(plan(NAME))?.processes.length ?? 0) >= PROCESSES ? true : undefined,
  );
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  assert.equal(await ended, 130);
  assert.deepEqual(traces(NAME), []);
});

test("`down` where nothing is says so", async () => {
  const { code, out } = await mesh(NAME, ["down"]);
  assert.equal(code, 0);
  assert.match(out, /Nothing of a lab e2e-crash was there/);
});
