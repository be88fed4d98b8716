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
import type { FileState } from "./source-file.ts";
import { readFile } from "./source-file.ts";
import type { SourceState } from "./sources.ts";

export interface ManifestSourceOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Time between two readings of the directory. */
  readonly intervalMs: number;
  /** Told what the directory says; the next reading waits for it. */
  readonly report: (state: SourceState) => Promise<void>;
}

const MANIFEST = /\.(ya?ml|json)$/;

export class ManifestSource {
  readonly #options: ManifestSourceOptions;
  #files: ReadonlyMap<string, FileState> = new Map();
  #faults: readonly string[] = [];

  constructor(options: ManifestSourceOptions) {
    this.#options = options;
  }

  /** What cannot be read from disk at present, one line each. */
  get faults(): readonly string[] {
    return this.#faults;
  }

  /** Reads until the signal aborts. */
  async run(): Promise<void> {
    const { disk, directory, clock, log, signal, intervalMs } = this.#options;
    const onProblems = (problems: readonly string[]): void => {
      this.#faults = problems;
      for (const problem of problems) log.warn({ problem }, "manifests not readable");
    };
    const options = { disk, directory, clock, signal, intervalMs, onProblems };
    await watchDirectory(options, (files, unread) => this.#read(files, unread));
  }

  async #read(found: DirectoryFiles, unread: readonly string[]): Promise<void> {
    const { directory, clock, report } = this.#options;
    const manifests = new Map([...found].filter(([name]) => MANIFEST.test(name)));
    const isEmpty = manifests.size === 0;
    if (!isEmpty) this.#files = await this.#readFiles(manifests, new Slices(clock));
    const states = [...this.#files.values()];
    const problems = states.flatMap((state) => state.problems);
    if (isEmpty) problems.unshift(emptyLine(directory));
    const read = !isEmpty && !unread.some((name) => MANIFEST.test(name));
    const complete = read && states.every((state) => state.wholeOnce);
    if (!complete && !isEmpty) problems.push(`${directory}: ${INCOMPLETE}`);
    await report({ objects: states.map(({ objects }) => objects), read, complete, problems });
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
