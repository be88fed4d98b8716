/** Collects steps: each is tried only when those that it needs went well, and says so when it is not. */
import type { Step } from "../model/troubleshoot.ts";
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

export class Steps {
  readonly #steps: Step[] = [];

  get list(): readonly Step[] {
    return this.#steps;
  }

  note(name: string, seen: string): void {
    this.#steps.push({ name, outcome: "note", seen });
  }

  notRun(name: string, why: string): void {
    this.#steps.push({ name, outcome: "not-run", seen: why });
  }

  /** Resolves to what `attempt` gives, `seen` of it told; undefined when it failed. */
  async run<T>(
    name: string,
    mend: string,
    attempt: () => Promise<T> | T,
    seen: (value: T) => string,
  ): Promise<T | undefined> {
    try {
      const value = await attempt();
      this.#steps.push({ name, outcome: "ok", seen: seen(value) });
      return value;
    } catch (error) {
      const how = error instanceof Fault ? error.mend : mend;
      this.#steps.push({ name, outcome: "failed", seen: messageOf(error), mend: how });
      return undefined;
    }
  }
}
