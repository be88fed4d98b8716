/**
 * Follows a directory by looking at its stamp and, when that moved, reading it and comparing bytes: symbolic link swaps (kubelet), renames
 * and writes in place are all the same to it. What no stamp shows (network file systems, mapped files) is found by reading now and then.
 */
import type { Clock } from "../runtime/clock.ts";
import { sleep } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import type { DirectoryListing, Disk } from "./door.ts";

/** File name -> bytes, in name order. */
export type DirectoryFiles = ReadonlyMap<string, Uint8Array>;

export interface WatchDirectoryOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly intervalMs: number;
  /** Told when what cannot be read changes, one line each; none: all is well again. */
  readonly onProblems?: (problems: readonly string[]) => void;
}

/** A change counts once two readings this far apart agree, so that a file written in place is not taken half-way. */
const SETTLE_MS = 50;
/** Readings after which a directory that never rests is taken as it is: one busy file does not hold up the others. */
const MAX_SETTLE_READINGS = 10;

/** Looks at the stamp alone between two readings. */
const MAX_LOOKS = 60;

interface Directory {
  readonly files: DirectoryFiles;
  /** Files that are there and were never read: nothing may be concluded from their absence in `files`. */
  readonly unread: readonly string[];
}

interface Reading {
  /** Undefined: never read so far. */
  readonly directory: Directory | undefined;
  readonly problems: readonly string[];
}

/**
 * Calls `onChange` with the whole directory: once after the first good reading, then whenever a file's bytes changed, came or went. A file
 * that cannot be read keeps its last bytes, a directory that cannot be read keeps everything: silence is never a removal.
 * What `onChange` returns is awaited. Resolves when `signal` aborts.
 */
export async function watchDirectory(
  options: WatchDirectoryOptions,
  onChange: (files: DirectoryFiles, unread: readonly string[]) => void | Promise<void>,
): Promise<void> {
  const { clock, signal, intervalMs } = options;
  let told: Directory | undefined;
  let toldProblems = "";
  const looks = new Looks(options);
  for (; !signal.aborted; await sleep(clock, intervalMs, signal)) {
    if (await looks.atRest()) continue;
    const reading = await readSettled(options, told);
    if (signal.aborted) return;
    const problems = reading.problems.join("\n");
    if (problems !== toldProblems) options.onProblems?.(reading.problems);
    toldProblems = problems;
    if (reading.directory && !same(reading.directory, told)) {
      told = reading.directory;
      await onChange(told.files, told.unread);
    }
    looks.read(reading.problems.length === 0);
  }
}

/** Says when a reading can be spared. */
class Looks {
  readonly #options: WatchDirectoryOptions;
  #stamp: string | undefined;
  /** The stamp is as it was an interval ago, so that later writes move it even where time is coarse. */
  #stands = false;
  /** What was read since then was all well. */
  #trusted = false;
  #count = 0;

  constructor(options: WatchDirectoryOptions) {
    this.#options = options;
  }

  /** Looks at the stamp: nothing changed since a reading that can be trusted. */
  async atRest(): Promise<boolean> {
    const { disk, directory } = this.#options;
    const stamp = await disk.stamp(directory).catch(() => undefined);
    this.#stands = stamp !== undefined && stamp === this.#stamp;
    this.#stamp = stamp;
    return this.#stands && this.#trusted && ++this.#count < MAX_LOOKS;
  }

  /** The directory was read after the last look. */
  read(well: boolean): void {
    this.#trusted = this.#stands && well;
    this.#count = 0;
  }
}

/** Reads until a reading is what was told, or what the one before it was. */
async function readSettled(options: WatchDirectoryOptions, told: Directory | undefined): Promise<Reading> {
  let reading = await readOnce(options, told);
  for (let readings = 1; readings < MAX_SETTLE_READINGS; readings++) {
    if (!reading.directory || same(reading.directory, told) || options.signal.aborted) return reading;
    await sleep(options.clock, Math.min(SETTLE_MS, options.intervalMs), options.signal);
    const again = await readOnce(options, told);
    if (same(reading.directory, again.directory)) return again;
    reading = again;
  }
  return reading;
}

async function readOnce(options: WatchDirectoryOptions, told: Directory | undefined): Promise<Reading> {
  try {
    const listing = await options.disk.list(options.directory);
    const problems = listing.unreadable.map(
      (file) => `cannot read ${file.detail}; its last contents stay; make it readable again`,
    );
    return { directory: withLastBytes(listing, told), problems };
  } catch (error) {
    const problem = `cannot read directory ${messageOf(error)}; nothing is withdrawn; make it readable again`;
    return { directory: told, problems: [problem] };
  }
}

function withLastBytes(listing: DirectoryListing, told: Directory | undefined): Directory {
  const files = listing.files.map((file): [string, Uint8Array] => [file.name, file.bytes]);
  const unread: string[] = [];
  for (const { name } of listing.unreadable) {
    const last = told?.files.get(name);
    if (last) files.push([name, last]);
    else unread.push(name);
  }
  return { files: new Map(files.sort(([left], [right]) => (left < right ? -1 : 1))), unread };
}

function same(left: Directory, right: Directory | undefined): boolean {
  if (!right || left.files.size !== right.files.size || left.unread.join("/") !== right.unread.join("/")) return false;
  for (const [name, bytes] of left.files) {
    const other = right.files.get(name);
    if (!other || Buffer.compare(bytes, other) !== 0) return false;
  }
  return true;
}
