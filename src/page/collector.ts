/** Asks the programs of this machine again and again, and makes of it what the page shows: a client of admin sockets like any other. */
import { join, relative } from "node:path";
import type { MirrorStatus, ProgramStatus, SetAside } from "../model/status.ts";
import { type PageSilent, pageState } from "../report/page.ts";
import { pageServices } from "../report/page-services.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { type Answered, askEach, findSockets, type Silent } from "../serve/sockets.ts";
import { EventLog } from "./event-log.ts";

/** Asking takes at most one part in so many of the time of those who are asked. */
const LEISURE = 10;
/** Values that are set aside can be many: they are asked for when their number changes, and else that often. */
const SET_ASIDE_INTERVAL_MS = 10_000;
const REJECTED_PATH = "/v1/rejected";

/** What the page is sent: JSON. */
export interface PageFrame {
  readonly state: string;
  /** Only when they changed. */
  readonly services?: string;
}

export interface CollectorOptions {
  readonly runDir: string;
  /** Whose kvstoremesh serves the page. */
  readonly cluster: string;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

interface Answers {
  readonly answered: readonly Answered<ProgramStatus>[];
  readonly silent: readonly Silent[];
}

/** A mirror's socket -> what was asked of it, and for which numbers. */
type Known = Map<string, { readonly asked: string; readonly cluster: string; readonly values: readonly SetAside[] }>;

export class Collector {
  readonly #options: CollectorOptions;
  readonly #log: EventLog;
  readonly #aside: Known = new Map();
  #services = "";

  constructor(options: CollectorOptions) {
    const { runDir, cluster, clock, random } = options;
    this.#options = options;
    this.#log = new EventLog({ socket: join(runDir, cluster, "kvstoremesh.sock"), clock, random });
  }

  /** Posts until the signal aborts. */
  async run(post: (frame: PageFrame) => void, signal: AbortSignal): Promise<void> {
    const { clock, intervalMs } = this.#options;
    const reading = this.#log.run(signal);
    while (!signal.aborted) {
      const startMs = clock.nowMs();
      post(await this.#frame());
      const tookMs = clock.nowMs() - startMs;
      await sleep(clock, Math.max(intervalMs - tookMs, (LEISURE - 1) * tookMs), signal);
    }
    await reading;
  }

  async #frame(): Promise<PageFrame> {
    const { cluster, clock, runDir } = this.#options;
    const answers = await this.#answers();
    const statuses = answers.answered.map(({ answer }) => answer);
    const wallMs = clock.wallMs();
    const own = statuses.find((status) => status.cluster === cluster && status.program === "kvstoremesh");
    const state = JSON.stringify(
      pageState({
        ...{ cluster, wallMs, statuses, silent: answers.silent.map((one) => silentBelow(runDir, one)) },
        setAside: await this.#setAside(answers.answered, wallMs),
        events: this.#log.view(own?.events !== undefined, wallMs),
      }),
    );
    const services = JSON.stringify(pageServices(statuses));
    if (services === this.#services) return { state };
    this.#services = services;
    return { state, services };
  }

  async #answers(): Promise<Answers> {
    try {
      return await askEach<ProgramStatus>(await findSockets(this.#options.runDir), "/v1/status");
    } catch (error) {
      return { answered: [], silent: [{ socket: this.#options.runDir, error: messageOf(error) }] };
    }
  }

  async #setAside(answered: Answers["answered"], wallMs: number): Promise<ReadonlyMap<string, readonly SetAside[]>> {
    const mirrors = answered.filter((one): one is Answered<MirrorStatus> => one.answer.program === "kvstoremesh");
    const round = Math.floor(wallMs / SET_ASIDE_INTERVAL_MS);
    const wanted = new Map(mirrors.map(({ socket, answer }) => [socket, `${round} ${numbersOf(answer)}`]));
    const changed = mirrors.filter(({ socket }) => this.#aside.get(socket)?.asked !== wanted.get(socket));
    const few = changed.filter(({ answer }) => numbersOf(answer) !== "");
    const told = await askEach<readonly SetAside[]>(
      few.map(({ socket }) => socket),
      REJECTED_PATH,
    );
    const bySocket = new Map(told.answered.map(({ socket, answer }) => [socket, answer]));
    for (const { socket, answer } of changed) {
      const known = { asked: wanted.get(socket) ?? "", cluster: answer.cluster, values: bySocket.get(socket) ?? [] };
      this.#aside.set(socket, known);
    }
    for (const socket of this.#aside.keys()) if (!wanted.has(socket)) this.#aside.delete(socket);
    return new Map([...this.#aside.values()].map(({ cluster, values }) => [cluster, values]));
  }
}

/** How many values of which remote are set aside; empty when none is. */
function numbersOf({ remotes }: MirrorStatus): string {
  const some = remotes.filter(({ rejected, parked }) => rejected + parked > 0);
  return some.map(({ name, rejected, parked }) => `${name} ${rejected} ${parked}`).join(", ");
}

function silentBelow(runDir: string, { socket, error }: Silent): PageSilent {
  return { socket: relative(runDir, socket), error };
}
