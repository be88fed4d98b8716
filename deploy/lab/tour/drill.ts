/** A drill of the tour: a file, run as `bulkhead drill run` would, with room for what the tour looks at while its faults last. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseDrill } from "../../../src/drill/drill-file.ts";
import { rehearse } from "../../../src/drill/rehearse.ts";
import type { DrillDoors } from "../../../src/drill/run.ts";
import type { Drill, DrillReport } from "../../../src/model/drill.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { say, sayFigure, seconds, whole } from "../output.ts";
import { ExpectationFailed, InvalidRun } from "./expect.ts";

/** Beyond the drill's own time, until drilld undoes what a tour that is gone began. */
const HOLD_MS = 180_000;

export class TourDrill {
  readonly #drill: Drill;
  readonly #begins = Promise.withResolvers<void>();
  readonly #broken = Promise.withResolvers<number>();
  readonly #lasts = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();
  readonly #undone = Promise.withResolvers<void>();
  readonly #report: Promise<DrillReport>;
  #faults = 0;

  /** @param name of a file of `drills/`. */
  constructor(runDir: string, name: string) {
    const file = fileURLToPath(new URL(`drills/${name}.yaml`, import.meta.url));
    this.#drill = parseDrill(file, readFileSync(file, "utf8"));
    this.#report = this.#run(runDir);
    this.#report.catch((error: unknown) => {
      for (const turn of [this.#begins, this.#broken, this.#lasts]) turn.reject(error);
    });
    // Whoever waits for one of them hears of it; nobody waits for all.
    for (const { promise } of [this.#begins, this.#broken, this.#lasts]) promise.catch(() => {});
  }

  /** Resolves when the mesh was found well, and the first fault is on its way. */
  get begins(): Promise<void> {
    return this.#begins.promise;
  }

  /** Resolves when all faults are done, to the moment. */
  get broken(): Promise<number> {
    return this.#broken.promise;
  }

  /** Resolves when the drill's own time is over; all of it lasts until `end`. */
  get lasts(): Promise<void> {
    return this.#lasts.promise;
  }

  /** Lets the faults be undone, once the drill's own time is over. Rejects unless it passed. */
  end(): Promise<DrillReport> {
    this.#released.resolve();
    return this.#report;
  }

  /** Whatever it was at is undone. */
  async abandon(): Promise<void> {
    this.#released.resolve();
    await Promise.race([this.#undone.promise, this.#report.catch(() => {})]);
  }

  async #run(runDir: string): Promise<DrillReport> {
    const options = {
      runDir,
      clock: systemClock,
      random: systemRandom,
      say: () => {},
      around: this.#around.bind(this),
    };
    const { report } = await rehearse(this.#drill, { ...options, warn: (line) => say(`! ${line}`) });
    return passed(await report);
  }

  #around(doors: DrillDoors): DrillDoors {
    return {
      ...doors,
      fault: async (request) => {
        this.#begins.resolve();
        await doors.fault({ ...request, undoAfterMs: request.undoAfterMs + HOLD_MS });
        if (++this.#faults === this.#drill.steps.length) this.#broken.resolve(systemClock.nowMs());
      },
      lasting: async () => {
        this.#lasts.resolve();
        await this.#released.promise;
      },
      undo: (run) => doors.undo(run).finally(() => this.#undone.resolve()),
    };
  }
}

function passed(report: DrillReport): DrillReport {
  const { drill, verdict, reason, checks } = report;
  if (verdict === "invalid") throw new InvalidRun(`drill ${drill}: ${reason}`);
  if (verdict === "passed") return report;
  const broken = checks.filter(({ held }) => !held).map(({ what, line }) => `${what}: ${line}`);
  throw new ExpectationFailed(`drill ${drill} ${verdict}: ${reason ?? broken.join("; ")}`);
}

export function sayDrill({ drill, verdict, connections, entries, convergeMs }: DrillReport): void {
  sayFigure(
    `drill ${drill}`,
    verdict,
    `${whole(connections.made)} connections, ${whole(connections.failed)} failed`,
    `${whole(entries.least)} of ${whole(entries.before)} entries kept`,
    ...(convergeMs === undefined ? [] : [`converged ${seconds(convergeMs)} after the undo`]),
  );
}
