/** Containers of one Docker engine as targets of drills, and as places that probes come from. */
import type { ContainerAction, DockerControl } from "../docker/control.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { type Container, judgeContainers } from "../wire/container.ts";
import { exists, type Hands } from "./hands.ts";
import type { ContainerOperation, HostOperation, Operation } from "./operations.ts";

const TIMEOUT_MS = 10_000;
/** A container that runs as long has started. */
const STAYS_MS = 300;

/** States in which an action changes something. */
const ACTS_ON: Readonly<Record<ContainerAction, readonly string[]>> = {
  kill: ["running", "paused", "restarting"],
  stop: ["running", "paused", "restarting"],
  start: ["created", "exited"],
  pause: ["running"],
  unpause: ["paused"],
};
const RUNNING: readonly string[] = ["running", "paused"];

export class Containers implements Hands<ContainerOperation> {
  readonly #engine: DockerControl;
  readonly #clock: Clock;

  constructor(engine: DockerControl, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  async carryOut(operation: ContainerOperation): Promise<void> {
    await this.#inTime((signal) => {
      return operation.kind === "beside" ? this.#beside(operation, signal) : this.#act(operation, signal);
    });
  }

  /** Lines that a command in the one container that carries the label writes, until it ends or the signal aborts. */
  async *lines(label: string, argv: readonly string[], signal: AbortSignal): AsyncGenerator<string> {
    const found = await this.#inTime((late) => this.#find(label, AbortSignal.any([late, signal])));
    if (found?.state !== "running") throw new Error(`no container runs that carries ${label}`);
    yield* this.#engine.inside(found.id, argv, signal);
  }

  async #act(operation: Extract<ContainerOperation, { kind: "container" }>, signal: AbortSignal) {
    const { label, action, required, ifThere } = operation;
    if (ifThere !== undefined && !(await exists(ifThere))) return;
    const found = await this.#find(label, signal);
    if (required) requireState(label, action, found);
    if (found === undefined || !ACTS_ON[action].includes(found.state)) return;
    await this.#engine.act(found.id, action, signal);
    if (action !== "start") return;
    await sleep(this.#clock, STAYS_MS, signal);
    const now = (await this.#find(label, signal))?.state ?? "gone";
    if (!RUNNING.includes(now)) throw new Error(`the container that carries ${label} was started and is ${now}`);
  }

  async #beside(operation: Extract<ContainerOperation, { kind: "beside" }>, signal: AbortSignal) {
    const { label, argv, required, stays } = operation;
    const found = await this.#find(label, signal);
    if (found === undefined || !RUNNING.includes(found.state)) {
      if (required) throw new Error(`no container runs that carries ${label}`);
      return;
    }
    if (stays === undefined) return await this.#engine.beside(found.id, argv, signal);
    await this.#engine.leaveBeside(found.id, argv, stays, signal);
  }

  /** Of two that carry it neither is meant. */
  async #find(label: string, signal: AbortSignal): Promise<Container | undefined> {
    const listed = judgeContainers(await this.#engine.list(label, signal));
    if (!listed.ok) throw new Error(`Docker engine: ${listed.rejection.detail}`);
    const [first, second] = listed.value;
    if (second !== undefined) {
      throw new Error(`${listed.value.length} containers carry ${label}, and only one may; remove the others`);
    }
    if (first?.ok === false) throw new Error(`the container that carries ${label}: ${first.rejection.detail}`);
    return first?.value;
  }

  async #inTime<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const timer = this.#clock.after(TIMEOUT_MS, () => late.abort());
    try {
      return await work(late.signal);
    } finally {
      timer.cancel();
    }
  }
}

function requireState(label: string, action: ContainerAction, found: Container | undefined): void {
  if (found === undefined) throw new Error(`no container carries ${label}`);
  const { state } = found;
  // What was to be done is the case already; but one that is dead cannot be killed.
  const enough = action === "start" || (action === "unpause" && state === "running");
  if (enough || ACTS_ON[action].includes(state)) return;
  throw new Error(`the container that carries ${label} is ${state}: no ${action}`);
}

/** Operations go where they belong. */
export function handsOf(host: Hands<HostOperation>, containers: Containers | undefined): Hands {
  return {
    async carryOut(operation: Operation): Promise<void> {
      if (operation.kind !== "container" && operation.kind !== "beside") return await host.carryOut(operation);
      if (containers === undefined) throw new Error("this drilld was given no --docker-socket");
      await containers.carryOut(operation);
    },
  };
}
