/** A lab that exists: its plan, its processes and pods, and the state file that remembers them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import type { LabPlan } from "./plan.ts";
import { currentRecord, endProcess, isAlive, type ProcessRecord, type ProcessSpec, startProcess } from "./processes.ts";
import { claim, type LabState, type PodRecord, readState, thisProcess, whyTaken, writeState } from "./state.ts";

const POLL_MS = 50;

export class Lab {
  readonly plan: LabPlan;
  #state: LabState;
  #ended = false;

  private constructor(plan: LabPlan, state: LabState) {
    this.plan = plan;
    this.#state = state;
  }

  /** Takes the lab's name for this process, or throws a UserError that says who has it. */
  static claim(plan: LabPlan, dataRoot: string): Lab {
    claim(plan);
    const dataDirectory = join(dataRoot, plan.dataFolder);
    const lab = new Lab(plan, {
      name: plan.name,
      phase: "starting",
      driver: thisProcess(),
      dataDirectory,
      processes: [],
      pods: [],
    });
    lab.#save();
    mkdirSync(plan.logs, { recursive: true });
    mkdirSync(plan.pids, { recursive: true });
    mkdirSync(dataDirectory, { recursive: true });
    return lab;
  }

  /** The lab that is up. Throws a UserError when there is none, or when another process drives it. */
  static open(plan: LabPlan, phase: LabState["phase"]): Lab {
    const state = readState(plan);
    if (state === undefined)
      throw new UserError(`mesh: the lab ${plan.name} is not up; start it with \`npm run mesh -- up\``);
    if (state.phase !== "up") throw new UserError(whyTaken(plan, state));
    const lab = new Lab(plan, state);
    if (phase !== "up") lab.enter(phase);
    return lab;
  }

  get pods(): readonly PodRecord[] {
    return this.#state.pods;
  }

  get dataDirectory(): string {
    return this.#state.dataDirectory;
  }

  /** As they are now: one that drilld started again has another pid than we know. */
  get processes(): readonly ProcessRecord[] {
    return this.#state.processes.map((record) => currentRecord(record, this.pidFile(record.id)));
  }

  pidFile(id: string): string {
    return join(this.plan.pids, `${id.replaceAll("/", ".")}.pid`);
  }

  logFile(id: string): string {
    return join(this.plan.logs, `${id.replaceAll("/", ".")}.log`);
  }

  /** `up`: nobody drives the lab from now on. Any other phase: this process does. */
  enter(phase: LabState["phase"]): void {
    const { driver: _, ...rest } = this.#state;
    this.#state = phase === "up" ? { ...rest, phase } : { ...rest, phase, driver: thisProcess() };
    this.#save();
  }

  /** From now on nothing is started: the lab is being removed. */
  end(): void {
    this.#ended = true;
  }

  /** Throws once the lab is being removed, so that whoever was starting it stops. */
  start(spec: Omit<ProcessSpec, "log">): ProcessRecord {
    if (this.#ended) throw new Error(`${spec.id} is not started: the lab is being removed`);
    const record = startProcess({ ...spec, log: this.logFile(spec.id) });
    writeFileSync(this.pidFile(spec.id), `${record.pid}\n`);
    this.#state = { ...this.#state, processes: [...this.processes.filter(({ id }) => id !== spec.id), record] };
    this.#save();
    return record;
  }

  process(id: string): ProcessRecord {
    const record = this.processes.find((candidate) => candidate.id === id);
    if (record === undefined) throw new RangeError(`the lab has no process ${id}`);
    return record;
  }

  isRunning(id: string): boolean {
    return this.processes.some((record) => record.id === id && isAlive(record));
  }

  /** Kills -9 all of them at once and waits until they are gone. */
  async kill(...ids: readonly string[]): Promise<void> {
    const ended = await Promise.all(ids.map((id) => endProcess(this.process(id), "SIGKILL")));
    if (ended.includes(false))
      throw new Error(`kill -9: still there: ${ids.filter((_, index) => !ended[index]).join(" ")}`);
  }

  addPod(pod: PodRecord): void {
    this.#state = { ...this.#state, pods: [...this.pods, pod] };
    this.#save();
  }

  removePod(pod: PodRecord): void {
    this.#state = { ...this.#state, pods: this.pods.filter((other) => other !== pod) };
    this.#save();
  }

  pod(cluster: string, name: string): PodRecord {
    const pod = this.pods.find((candidate) => candidate.cluster === cluster && candidate.name === name);
    if (pod === undefined) {
      const known = this.pods.map((candidate) => `${candidate.cluster}/${candidate.name}`).join(" ");
      throw new UserError(`mesh: no pod ${cluster}/${name}; there are: ${known}`);
    }
    return pod;
  }

  #save(): void {
    writeState(this.plan, this.#state);
  }
}

export class WaitTimeout extends Error {
  override readonly name = "WaitTimeout";
}

/** Asks until the answer is not undefined. `what` says what did not come about, and `detail` why not, for a person. */
export async function waitFor<T>(
  what: string,
  withinMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
  detail: () => string = () => "",
): Promise<T> {
  const deadlineMs = systemClock.nowMs() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (systemClock.nowMs() > deadlineMs)
      throw new WaitTimeout(`${what}: not within ${withinMs / 1000} s ${detail()}`.trim());
    await sleep(systemClock, POLL_MS);
  }
}
