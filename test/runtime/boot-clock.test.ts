import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { createBootWallMs } from "../../src/runtime/clock.ts";

test("the boot clock's zero on the wall clock is where the kernel has it, and settles", () => {
  const bootWallMs = createBootWallMs();
  let last = bootWallMs();
  const uptimeSeconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  assert(Math.abs(Date.now() - last - uptimeSeconds * 1000) < 1_000);
  const first = last;
  for (let call = 0; call < 100; call++) {
    const next = bootWallMs();
    assert(next <= last && next > first - 100, "only ever closer");
    last = next;
  }
});
