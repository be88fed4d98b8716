/** How much heap pods keep, in a process of its own: what is asserted is what is retained, never a time. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("./pods-memory.ts", import.meta.url));
const MAX_BYTES_PER_POD = 1_000;

/** Follows `pods` pods, lists them a second time, and looks at the heap after each. */
export function assertKeepsLittle(pods: number): void {
  const { stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", CHILD, String(pods)], { encoding: "utf8" });
  assert.match(stdout, /^\{/, stderr);
  const found = JSON.parse(stdout);
  assert.equal(found.pods, pods);
  assert.equal(found.lists, 2);
  const perPod = (bytes: number): number => Math.round(bytes / pods);
  assert.ok(perPod(found.pageBytes) > 4_000, `pods of ${perPod(found.pageBytes)} bytes are no load`);
  assert.ok(perPod(found.listedBytes) < MAX_BYTES_PER_POD, `${perPod(found.listedBytes)} bytes a pod after the list`);
  assert.ok(perPod(found.againBytes) < MAX_BYTES_PER_POD, `${perPod(found.againBytes)} bytes a pod after another one`);
}
