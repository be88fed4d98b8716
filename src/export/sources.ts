/** Puts together what all sources say: the rest of the exporter does not know where an object comes from. */
import type { Clock } from "../runtime/clock.ts";
import { Slices } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Manifest } from "../wire/manifest.ts";
import { drive } from "./drive.ts";
import { Snapshots } from "./snapshot.ts";
import { joinManifests } from "./world.ts";

/** What one source says at present. */
export interface SourceState {
  /** In groups that were read together. */
  readonly objects: readonly (readonly Manifest[])[];
  /** As in `Snapshot`. */
  readonly read: boolean;
  readonly complete: boolean;
  /** One line each: what, where, how to mend it. */
  readonly problems: readonly string[];
}

export interface SourcesOptions {
  /** Of two that define one object, the one named first goes before. */
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

export class Sources {
  readonly snapshots = new Snapshots();
  readonly #options: SourcesOptions;
  readonly #states = new Map<string, SourceState>();
  #joining: Promise<void> = Promise.resolve();

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  /** Takes over what a source says. Resolves once it is in the newest snapshot, of which there is none before every source has spoken. */
  report(name: string, state: SourceState): Promise<void> {
    this.#states.set(name, state);
    this.#joining = this.#joining.then(() => this.#join());
    return this.#joining;
  }

  async #join(): Promise<void> {
    const { names, clock, log } = this.#options;
    const states = names.flatMap((name) => this.#states.get(name) ?? []);
    if (states.length < names.length) return;
    const groups = states.flatMap(({ objects }) => objects);
    const world = await drive(joinManifests(groups, this.snapshots.newest?.world), new Slices(clock));
    const problems = [...states.flatMap((state) => state.problems), ...world.problems];
    const read = states.every((state) => state.read);
    const complete = states.every((state) => state.complete);
    const known = new Set(this.snapshots.newest?.problems);
    for (const problem of problems) if (!known.has(problem)) log.warn({ problem }, "not taken over as it stands");
    const counts = { pods: world.pods.size, services: world.services.size, policies: world.policies.size };
    log.info({ ...counts, complete }, "sources read");
    this.snapshots.publish({ world, read, complete, problems });
  }
}
