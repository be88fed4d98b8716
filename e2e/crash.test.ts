/** The lab's own driver dies half-way: the next start says so, and `down` finds everything. Nothing alive is left: the next start removes it. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { after, test } from "node:test";
import { removeCgroup } from "../deploy/lab/cgroups.ts";
import { waitFor } from "../deploy/lab/lab.ts";
import { readState } from "../deploy/lab/state.ts";
import { launchMesh, mesh, plan, traces } from "./mesh.ts";

const NAME = "e2e-crash";
const PROCESSES = 14;
const STARTED_WITHIN_MS = 60_000;

after(async () => {
  await mesh(NAME, ["down"]);
});

test("kill -9 of the lab, then `down`", async () => {
  const child = launchMesh(NAME, []);
  await halfUp(child);

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

test("all of it killed at once, as by a power cut: the next start removes what is left", async () => {
  await interrupted("SIGKILL");
  await removeCgroup(plan(NAME).cgroup);
  assert.notDeepEqual(traces(NAME), []);
  const { out } = await interrupted("SIGINT");
  assert.match(out, /^Removed what a lab e2e-crash that was killed had left\.$/m);
  assert.deepEqual(traces(NAME), []);
});

test("an interrupt removes everything", async () => {
  const { code } = await interrupted("SIGINT");
  assert.equal(code, 130);
  assert.deepEqual(traces(NAME), []);
});

/** A start that gets the signal half-way. */
async function interrupted(signal: NodeJS.Signals): Promise<{ readonly code: number | null; readonly out: string }> {
  const child = launchMesh(NAME, []);
  let out = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  await halfUp(child);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  child.kill(signal);
  return { code: await ended, out };
}

/** When all etcds and pods that this driver starts run, and some of the programs. */
function halfUp({ pid }: ChildProcess): Promise<unknown> {
  return waitFor("the lab has processes", STARTED_WITHIN_MS, () => {
    const state = readState(plan(NAME));
    return state !== undefined && state.driver?.pid === pid && state.processes.length >= PROCESSES ? true : undefined;
  });
}

test("`down` where nothing is says so", async () => {
  const { code, out } = await mesh(NAME, ["down"]);
  assert.equal(code, 0);
  assert.match(out, /Nothing of a lab e2e-crash was there/);
});
