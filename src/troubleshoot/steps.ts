/** Collects steps: each is tried only when those that it needs went well, and says so when it is not. */
import type { Step } from "../model/troubleshoot.ts";
import type { Clock } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";

/** A step that failed, with what was seen and how to mend it. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly mend: string;

  constructor(seen: string, mend: string) {
    super(seen);
    this.mend = mend;
  }
}

/** A remote may say much: a line has an end, in characters. */
const LONGEST_SEEN = 1_000;

function bounded(seen: string): string {
  return seen.length > LONGEST_SEEN ? `${seen.slice(0, LONGEST_SEEN)}...` : seen;
}

export class Steps {
  readonly #steps: Step[] = [];

  get list(): readonly Step[] {
    return this.#steps;
  }

  ok(name: string, seen: string): void {
    this.#steps.push({ name, outcome: "ok", seen: bounded(seen) });
  }

  note(name: string, seen: string): void {
    this.#steps.push({ name, outcome: "note", seen: bounded(seen) });
  }

  failed(name: string, seen: string, mend: string): void {
    this.#steps.push({ name, outcome: "failed", seen: bounded(seen), mend });
  }

  notRun(names: readonly string[], why: string): void {
    for (const name of names) this.#steps.push({ name, outcome: "not-run", seen: why });
  }

  /** Steps that were taken beside these, in their order. */
  append(others: Steps): void {
    this.#steps.push(...others.list);
  }

  /** Resolves to what `attempt` gives, `seen` of it told; undefined when it failed. `mend` is for what is thrown without one. */
  async run<T>(
    name: string,
    mend: string,
    attempt: () => Promise<T> | T,
    seen: (value: T) => string,
  ): Promise<T | undefined> {
    try {
      const value = await attempt();
      this.ok(name, seen(value));
      return value;
    } catch (error) {
      this.failed(name, messageOf(error), error instanceof Fault ? error.mend : mend);
      return undefined;
    }
  }
}

export interface Patience {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** What `work` gives, or a Fault when that takes longer. The work itself is the caller's to end. */
export async function within<T>({ clock, timeoutMs }: Patience, mend: string, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = clock.after(timeoutMs, () => reject(new Fault(`no answer within ${timeoutMs} ms`, mend)));
  try {
    return await Promise.race([work, promise]);
  } finally {
    timer.cancel();
  }
}
