/**
 * How long a kvstoremesh holds its loop, with 100,000 addresses of a remote: at the first mirroring, and when the next process compares them all. It holds a
 * lease: no slice of ours may be longer than 10 ms. Prints the worst since each start; the loop's lag holds what the machine, the garbage collector and the
 * loading of the program add.
 */
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { entriesOf } from "./mesh-data.ts";
import { filledEtcd, MirrorStage } from "./mirror-stage.ts";

const PODS = 100_000;
const GOAL_MS = 10;
/** The gauges are of whole seconds. */
const GAUGED_MS = 1_500;

function worstMs(metrics: string, name: string): number {
  const found = new RegExp(`^${name}\\{since="start"\\} (\\S+)$`, "m").exec(metrics)?.[1];
  if (found === undefined) throw new Error(`no ${name} in the mirror's metrics`);
  return Number(found) * 1000;
}

export async function slices(json: boolean): Promise<void> {
  const remote = await filledEtcd(entriesOf(PODS));
  const stage = await MirrorStage.open(remote);
  try {
    for (const what of ["first", "compared"]) {
      await stage.lead();
      await (what === "first" ? stage.mirrored() : stage.synced());
      await sleep(systemClock, GAUGED_MS);
      const metrics = await stage.metrics();
      const sliceMs = worstMs(metrics, "bulkhead_slice_max_seconds");
      const lagMs = worstMs(metrics, "bulkhead_event_loop_lag_max_seconds");
      const verdict = sliceMs <= GOAL_MS ? "ok" : "short";
      if (json)
        process.stdout.write(`${JSON.stringify({ id: "slices", what, sliceMs, lagMs, goalMs: GOAL_MS, verdict })}\n`);
      else
        process.stdout.write(
          `slices ${what} value=${sliceMs.toFixed(1)} goal=slice<=${GOAL_MS} ${verdict} unit=ms lag=${lagMs.toFixed(1)}\n`,
        );
      await stage.endMirror("SIGTERM");
    }
  } finally {
    await stage.close();
    await remote.end();
  }
}
