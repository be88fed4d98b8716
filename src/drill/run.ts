/** One run of a drill, from the baseline to the report. What is done is undone however it ends. */
import type { Drill, DrillCheck, DrillReport, DrillStep, FaultRequest, ProbeCounts, Verdict } from "../model/drill.ts";
import type { ProgramStatus } from "../model/status.ts";
import { type Clock, sleep, sleepRunning } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import { differences, entriesKept, entriesOf, isSeen, type Look, lookAt, without } from "./observe.ts";

const TICK_MS = 100;
/** While somebody looks at what lasts. */
const LASTING_TICK_MS = 1_000;
const BASELINE_MS = 2_000;
/** Time the mesh has to be well before anything is done to it. */
const WELL_WITHIN_MS = 20_000;
/** Beyond the end of the steps, until drilld undoes by itself. */
const UNDO_SLACK_MS = 10_000;
/** Of the connections that the rate asks for, what must have been made before: a probe that does not get through shows nothing. */
const LEAST_SHARE = 0.5;

export interface DrillDoors {
  readonly clock: Clock;
  /** Everybody who answers now; agents, who have much to say, only when they are asked for. */
  look(agentsToo: boolean): Promise<readonly ProgramStatus[]>;
  /** Asks the drilld of the drill's cluster. */
  fault(request: FaultRequest): Promise<void>;
  undo(run: string): Promise<void>;
  /** Waited for when all steps are over, before the undo: for whoever wants to look at what lasts. */
  lasting?(): Promise<void>;
  /** Tells counts until the signal aborts; rejects when probes cannot be sent any more. */
  probe(drill: Drill["probe"], signal: AbortSignal, tell: (counts: ProbeCounts) => void): Promise<void>;
  /** A line for whoever waits. */
  say(line: string): void;
}

export function runDrill(drill: Drill, run: string, doors: DrillDoors): Promise<DrillReport> {
  return new DrillRun(drill, run, doors).toReport();
}

class Ended extends Error {
  readonly verdict: "aborted" | "invalid";

  constructor(verdict: "aborted" | "invalid", reason: string) {
    super(reason);
    this.verdict = verdict;
  }
}

class DrillRun {
  readonly #drill: Drill;
  readonly #run: string;
  readonly #doors: DrillDoors;
  readonly #startMs: number;
  readonly #startedAt: string;
  readonly #probing = new AbortController();
  #probeFailure: string | undefined;
  #made = 0;
  #failed = 0;
  readonly #failures: Record<string, number> = {};
  #before: Look = lookAt([], "");
  #faultMs: number | undefined;
  #detectMs: number | undefined;
  #failOverMs = 0;
  #undoneMs: number | undefined;
  #convergeMs: number | undefined;
  #left: readonly string[] = [];
  #entriesBefore = 0;
  #entriesLeast = 0;

  constructor(drill: Drill, run: string, doors: DrillDoors) {
    this.#drill = drill;
    this.#run = run;
    this.#doors = doors;
    this.#startMs = doors.clock.nowMs();
    this.#startedAt = new Date(doors.clock.wallMs()).toISOString();
  }

  async toReport(): Promise<DrillReport> {
    const probing = this.#probe();
    try {
      await this.#baseline();
      await this.#underFaults();
      await this.#converge();
      return this.#report();
    } catch (error) {
      if (!(error instanceof Ended)) throw error;
      return this.#report(error);
    } finally {
      this.#probing.abort();
      await probing;
    }
  }

  async #probe(): Promise<void> {
    const { signal } = this.#probing;
    try {
      await this.#doors.probe(this.#drill.probe, signal, (counts) => this.#count(counts));
      if (!signal.aborted) this.#probeFailure = "the probe ended by itself";
    } catch (error) {
      if (!signal.aborted) this.#probeFailure = messageOf(error);
    }
  }

  #count({ made, failed, failures }: ProbeCounts): void {
    this.#made += made;
    this.#failed += failed;
    for (const [code, count] of Object.entries(failures)) this.#failures[code] = (this.#failures[code] ?? 0) + count;
    if (failed > 0 && this.#faultMs !== undefined && this.#undoneMs === undefined) {
      this.#failOverMs = this.#doors.clock.nowMs() - this.#faultMs;
    }
  }

  async #look(agentsToo: boolean): Promise<Look> {
    const { cluster, despite } = this.#drill;
    return lookAt(without(await this.#doors.look(agentsToo), despite), cluster);
  }

  async #baseline(): Promise<void> {
    const { clock } = this.#doors;
    const { cluster, probe } = this.#drill;
    const deadlineMs = clock.nowMs() + WELL_WITHIN_MS;
    for (;;) {
      this.#before = await this.#look(true);
      const { observers, unwell } = this.#before;
      if (observers.length > 0 && unwell.length === 0) break;
      const why = unwell[0] ?? `no mirror of another cluster answers that follows ${cluster}`;
      if (clock.nowMs() > deadlineMs) throw new Ended("invalid", `the mesh is not well before the drill: ${why}`);
      await sleep(clock, TICK_MS);
    }
    this.#entriesBefore = entriesOf(this.#before);
    this.#entriesLeast = this.#entriesBefore;
    await this.#probeBegins(deadlineMs);
    const [made, failed] = [this.#made, this.#failed];
    await sleepRunning(clock, BASELINE_MS);
    this.#requireProbe();
    const least = Math.floor((BASELINE_MS / 1_000) * probe.rate * LEAST_SHARE);
    const [nowMade, nowFailed] = [this.#made - made, this.#failed - failed];
    if (nowMade < least || this.#failed > 0) {
      const counts = `${nowMade} connections made and ${nowFailed} failed in ${BASELINE_MS / 1_000} s`;
      throw new Ended("invalid", `the probe is not well before the drill: ${counts}; needs ${least} and 0`);
    }
    this.#doors.say(
      `before: ${this.#entriesBefore} entries of ${cluster} in other clusters, ${nowMade} connections made, 0 failed`,
    );
  }

  async #probeBegins(deadlineMs: number): Promise<void> {
    const { clock } = this.#doors;
    while (this.#made + this.#failed === 0 && clock.nowMs() < deadlineMs) {
      this.#requireProbe();
      await sleep(clock, TICK_MS);
    }
    this.#requireProbe();
  }

  #requireProbe(): void {
    if (this.#probeFailure === undefined) return;
    throw new Ended(this.#faultMs === undefined ? "invalid" : "aborted", `the probe failed: ${this.#probeFailure}`);
  }

  async #underFaults(): Promise<void> {
    const { clock } = this.#doors;
    try {
      for (const [index, step] of this.#drill.steps.entries()) await this.#step(step, index);
      await this.#lasting();
    } finally {
      await this.#undo();
      this.#undoneMs = clock.nowMs();
      this.#doors.say("undone");
    }
  }

  /** drilld undoes by itself, later: what is asked now is asked once more, and then left to it. */
  async #undo(): Promise<void> {
    try {
      await this.#doors.undo(this.#run);
    } catch (error) {
      this.#doors.say(`not undone yet: ${messageOf(error)}; drilld tries on`);
    }
  }

  async #step({ fault, target, forMs, overMs }: DrillStep, index: number): Promise<void> {
    const { clock } = this.#doors;
    const restMs = this.#drill.steps.slice(index).reduce((sum, step) => sum + step.forMs, 0);
    // From just before it: what follows at once is caused by it.
    const beganMs = clock.nowMs();
    this.#faultMs ??= beganMs;
    try {
      await this.#doors.fault({
        ...{ run: this.#run, fault, target, undoAfterMs: restMs + UNDO_SLACK_MS, dryRun: false },
        ...(overMs !== undefined && { overMs }),
      });
    } catch (error) {
      throw new Ended("aborted", messageOf(error));
    }
    this.#doors.say(`${fault} of ${target} for ${forMs / 1_000} s`);
    while (clock.nowMs() < beganMs + forMs) {
      await this.#tick();
      await sleep(clock, Math.min(TICK_MS, Math.max(1, beganMs + forMs - clock.nowMs())));
    }
    await this.#tick();
  }

  /** The guard holds on. */
  async #lasting(): Promise<void> {
    let isOver = this.#doors.lasting === undefined;
    const until = this.#doors.lasting?.().finally(() => {
      isOver = true;
    });
    until?.catch(() => undefined);
    while (!isOver) {
      await Promise.race([until, sleep(this.#doors.clock, LASTING_TICK_MS)]);
      await this.#tick();
    }
  }

  async #tick(): Promise<void> {
    this.#guard();
    const asksNodes = this.#drill.expect.detect?.sign === "drained";
    this.#notice(await this.#look(asksNodes));
    this.#guard();
  }

  #guard(): void {
    this.#requireProbe();
    const { maxFailed } = this.#drill;
    if (this.#failed <= maxFailed) return;
    throw new Ended("aborted", `${this.#failed} connections failed, and the guard allows ${maxFailed}`);
  }

  #notice(now: Look): void {
    const { detect } = this.#drill.expect;
    this.#entriesLeast = Math.min(this.#entriesLeast, entriesKept(this.#before, now));
    if (detect === undefined || this.#detectMs !== undefined || !isSeen(detect.sign, this.#before, now)) return;
    this.#detectMs = this.#doors.clock.nowMs() - (this.#faultMs ?? 0);
    this.#doors.say(`seen by the mesh after ${seconds(this.#detectMs)}`);
  }

  async #converge(): Promise<void> {
    const { clock } = this.#doors;
    const undoneMs = this.#undoneMs ?? clock.nowMs();
    const deadlineMs = undoneMs + this.#drill.expect.convergeWithinMs;
    for (;;) {
      const now = await this.#look(true);
      this.#entriesLeast = Math.min(this.#entriesLeast, entriesKept(this.#before, now));
      this.#left = differences(this.#before, now);
      const nowMs = clock.nowMs();
      if (this.#left.length === 0) this.#convergeMs = nowMs - undoneMs;
      if (this.#left.length === 0 || nowMs > deadlineMs) return;
      await sleep(clock, TICK_MS);
    }
  }

  #report(ended?: Ended): DrillReport {
    const { name, hypothesis, cluster } = this.#drill;
    const checks = ended ? [] : this.#checks();
    const verdict: Verdict = ended?.verdict ?? (checks.every(({ held }) => held) ? "passed" : "failed");
    return {
      version: 1,
      drill: name,
      run: this.#run,
      hypothesis,
      cluster,
      verdict,
      ...(ended && { reason: ended.message }),
      startedAt: this.#startedAt,
      tookMs: whole(this.#doors.clock.nowMs() - this.#startMs),
      ...(this.#detectMs !== undefined && { detectMs: whole(this.#detectMs) }),
      failOverMs: whole(this.#failOverMs),
      connections: { made: this.#made, failed: this.#failed, failures: this.#failures },
      entries: { before: this.#entriesBefore, least: this.#entriesLeast },
      ...(this.#convergeMs !== undefined && { convergeMs: whole(this.#convergeMs) }),
      checks,
    };
  }

  #checks(): readonly DrillCheck[] {
    const { detect, failed, failOverWithinMs, entriesKept: mustKeep, convergeWithinMs } = this.#drill.expect;
    const check = (what: DrillCheck["what"], held: boolean, line: string): DrillCheck => ({ what, held, line });
    const found = (ms: number | undefined): string => (ms === undefined ? "not seen" : `after ${seconds(ms)}`);
    const lost = this.#entriesBefore - this.#entriesLeast;
    const left = this.#left[0] === undefined ? "" : `: ${this.#left[0]}`;
    return [
      ...(detect === undefined
        ? []
        : [
            check(
              "detect",
              this.#detectMs !== undefined && this.#detectMs <= detect.withinMs,
              `${detect.sign} ${found(this.#detectMs)}; expected within ${seconds(detect.withinMs)}`,
            ),
          ]),
      check(
        "fail over",
        this.#failOverMs <= failOverWithinMs,
        this.#failOverMs === 0
          ? "at once"
          : `the last connection failed after ${seconds(this.#failOverMs)}; expected within ${seconds(failOverWithinMs)}`,
      ),
      check(
        "connections",
        this.#failed <= failed,
        `${this.#made} made, ${this.#failed} failed${codes(this.#failures)}; expected at most ${failed}`,
      ),
      ...(mustKeep
        ? [check("entries", lost <= 0, `${this.#entriesLeast} of ${this.#entriesBefore} kept all the time`)]
        : []),
      check(
        "converge",
        this.#convergeMs !== undefined,
        this.#convergeMs === undefined
          ? `not within ${seconds(convergeWithinMs)}${left}`
          : `${seconds(this.#convergeMs)} after the undo; expected within ${seconds(convergeWithinMs)}`,
      ),
    ];
  }
}

const whole = (ms: number): number => Math.round(ms);
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function codes(failures: Readonly<Record<string, number>>): string {
  const parts = Object.entries(failures).map(([code, count]) => `${code} ${count}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}
