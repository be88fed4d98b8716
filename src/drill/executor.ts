/**
 * Does faults at the target and undoes them: armed on disk and by a timer before the first operation, undone when asked, when the time is up, when
 * a fault fails half-way, and by the next process when this one dies. One run at a time.
 */
import type { FaultAnswer, FaultRequest } from "../model/drill.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { type AllowList, admit } from "./allow-list.ts";
import type { Hands } from "./hands.ts";
import type { Journal, JournalEntry } from "./journal.ts";
import { operationText, planFault } from "./operations.ts";

const AGAIN_MS = 1_000;

export interface ExecutorOptions {
  readonly allowList: AllowList;
  readonly journal: Journal;
  readonly hands: Hands;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the journal, and of what faults need. */
  readonly folder: string;
  /** No fault lasts longer. */
  readonly maxFaultMs: number;
}

export class Executor {
  readonly #options: ExecutorOptions;
  /** Faults and undos, one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #timers = new Map<string, Timer>();
  #problem: string | undefined;
  #closed = false;
  #count = 0;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** What lasts now, oldest first. */
  get lasting(): readonly Pick<JournalEntry, "run" | "what">[] {
    return this.#options.journal.entries.map(({ run, what }) => ({ run, what }));
  }

  /** Why something is not undone yet. */
  get problems(): readonly string[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** Undoes whatever an earlier process left. Its caller is not known to live. */
  async recover(): Promise<void> {
    for (const { run, what } of this.lasting)
      this.#options.log.warn({ run, what }, "left by an earlier process: undone");
    await this.#inTurn(() => this.#undoAll(() => true));
  }

  /** @throws UserError when it is refused, or failed: then it is undone. */
  begin(request: FaultRequest): Promise<FaultAnswer> {
    return this.#inTurn(() => this.#begin(request));
  }

  /** Undoes all faults of a run, newest first. @throws UserError when one cannot be undone; it is tried again, over and over. */
  async undo(run: string): Promise<void> {
    await this.#inTurn(() => this.#undoAll((entry) => entry.run === run));
  }

  /** Undoes everything. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#inTurn(() => this.#undoAll(() => true)).catch(() => undefined);
    for (const timer of this.#timers.values()) timer.cancel();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #begin({ run, fault, target: name, undoAfterMs, overMs, dryRun }: FaultRequest): Promise<FaultAnswer> {
    const { allowList, journal, folder, maxFaultMs, hands, log } = this.#options;
    const target = admit(allowList, fault, name);
    if (undoAfterMs > maxFaultMs) {
      throw new UserError(`${fault} of ${name} for ${undoAfterMs} ms: at most ${maxFaultMs} ms (--max-fault-ms) here`);
    }
    const id = `drill-${run}-${++this.#count}`;
    const { does, undoes } = planFault(fault, target, { id, folder, ...(overMs !== undefined && { overMs }) });
    const answer = { does: does.map(operationText), undoes: undoes.map(operationText) };
    if (dryRun) return answer;
    this.#refuseOverlap(run);
    const what = `${fault} of ${name}`;
    await this.#checkFirst(does, what);
    await journal.add({ id, run, what, undoes });
    this.#arm(id, undoAfterMs);
    log.warn({ run, what, undoAfterMs }, "fault");
    try {
      for (const operation of does) await hands.carryOut(operation);
    } catch (error) {
      await this.#undoAll((entry) => entry.id === id);
      throw new UserError(`${what}: ${messageOf(error)}; undone`);
    }
    return answer;
  }

  #refuseOverlap(run: string): void {
    if (this.#closed) throw new UserError("drilld is ending: nothing is begun any more");
    const other = this.lasting.find((lasts) => lasts.run !== run);
    if (other) throw new UserError(`another drill lasts here: ${other.what} (run ${other.run}); wait for its end`);
  }

  /** What only asks is asked before anything is written down. */
  async #checkFirst(does: ReturnType<typeof planFault>["does"], what: string): Promise<void> {
    for (const operation of does) {
      if (operation.kind !== "marker" && operation.kind !== "undrained") continue;
      await this.#options.hands.carryOut(operation).catch((error: unknown) => {
        throw new UserError(`${what} is refused: ${messageOf(error)}`);
      });
    }
  }

  #arm(id: string, afterMs: number): void {
    const { clock } = this.#options;
    const undo = (): void => {
      this.#inTurn(() => this.#undoAll((entry) => entry.id === id)).catch(() => undefined);
    };
    this.#timers.get(id)?.cancel();
    this.#timers.set(id, clock.after(afterMs, undo));
  }

  async #undoAll(isMeant: (entry: JournalEntry) => boolean): Promise<void> {
    const failures: string[] = [];
    for (const entry of [...this.#options.journal.entries].reverse()) {
      if (isMeant(entry)) failures.push(...(await this.#undoOne(entry)));
    }
    this.#problem = failures[0];
    if (failures[0] !== undefined) throw new UserError(failures[0]);
  }

  async #undoOne({ id, run, what, undoes }: JournalEntry): Promise<readonly string[]> {
    const { journal, hands, log } = this.#options;
    try {
      for (const operation of undoes) await hands.carryOut(operation);
      await journal.remove(id);
      this.#timers.get(id)?.cancel();
      this.#timers.delete(id);
      log.info({ run, what }, "undone");
      return [];
    } catch (error) {
      const failure = `${what} is not undone yet: ${messageOf(error)}`;
      log.error({ run }, failure);
      if (!this.#closed) this.#arm(id, AGAIN_MS);
      return [failure];
    }
  }
}
