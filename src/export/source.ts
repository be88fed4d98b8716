/**
 * The file source: a directory of Kubernetes YAML, read again on every change. A manifest that cannot be read is refused alone, and what
 * it said before stays.
 */
import type { Disk } from "../disk/door.ts";
import type { DirectoryFiles } from "../disk/watch-directory.ts";
import { watchDirectory } from "../disk/watch-directory.ts";
import type { Clock } from "../runtime/clock.ts";
import { Slices } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { drive } from "./drive.ts";
import { Snapshots } from "./snapshot.ts";
import type { FileState } from "./source-file.ts";
import { readFile } from "./source-file.ts";
import { joinManifests } from "./world.ts";

export interface SourceOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Time between two readings of the directory. */
  readonly intervalMs: number;
}

const MANIFEST = /\.(ya?ml|json)$/;

export class ManifestSource {
  readonly snapshots = new Snapshots();
  readonly #options: SourceOptions;
  #files: ReadonlyMap<string, FileState> = new Map();
  #diskProblems: readonly string[] = [];

  constructor(options: SourceOptions) {
    this.#options = options;
  }

  /** What cannot be read from disk at present, one line each. */
  get diskProblems(): readonly string[] {
    return this.#diskProblems;
  }

  /** Reads until the signal aborts. */
  async run(): Promise<void> {
    const { disk, directory, clock, log, signal, intervalMs } = this.#options;
    const onProblems = (problems: readonly string[]): void => {
      this.#diskProblems = problems;
      for (const problem of problems) log.warn({ problem }, "manifests not readable");
    };
    const options = { disk, directory, clock, signal, intervalMs, onProblems };
    await watchDirectory(options, (files, unread) => this.#read(files, unread));
  }

  async #read(found: DirectoryFiles, unread: readonly string[]): Promise<void> {
    const { directory, clock, log } = this.#options;
    const manifests = new Map([...found].filter(([name]) => MANIFEST.test(name)));
    const slices = new Slices(clock);
    const isEmpty = manifests.size === 0;
    if (!isEmpty) this.#files = await this.#readFiles(manifests, slices);
    const states = [...this.#files.values()];
    const world = await drive(
      joinManifests(
        states.map(({ objects }) => objects),
        this.snapshots.newest?.world,
      ),
      slices,
    );
    const problems = [...states.flatMap((state) => state.problems), ...world.problems];
    if (isEmpty) problems.unshift(emptyLine(directory));
    const read = !isEmpty && !unread.some((name) => MANIFEST.test(name));
    const complete = read && states.every((state) => state.wholeOnce);
    if (!complete && !isEmpty) problems.push(`${directory}: ${INCOMPLETE}`);
    const known = new Set(this.snapshots.newest?.problems);
    for (const problem of problems) if (!known.has(problem)) log.warn({ problem }, "manifest refused");
    log.info(
      {
        files: manifests.size,
        pods: world.pods.size,
        services: world.services.size,
        policies: world.policies.size,
        complete,
      },
      "manifests read",
    );
    this.snapshots.publish({ world, read, complete, problems });
  }

  async #readFiles(manifests: DirectoryFiles, slices: Slices): Promise<ReadonlyMap<string, FileState>> {
    const states = new Map<string, FileState>();
    for (const [name, bytes] of manifests) {
      states.set(name, await drive(readFile(name, bytes, this.#files.get(name)), slices));
    }
    return states;
  }
}

const INCOMPLETE =
  "not every manifest was understood since start, so keys of objects removed before stay until each one was; mend or remove those named";

/** An unmounted volume looks just like this: nothing is withdrawn because of it. */
function emptyLine(directory: string): string {
  return `${directory}: no manifests (*.yaml, *.yml, *.json), so nothing is withdrawn; a file with a comment only withdraws all`;
}
