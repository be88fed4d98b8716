/** What is to be undone, on disk before anything is done: whoever starts next finds it. */
import { mkdir } from "node:fs/promises";
import type { Disk } from "../disk/door.ts";
import { DiskError } from "../disk/door.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import type { Operation } from "./operations.ts";

export interface JournalEntry {
  readonly id: string;
  readonly run: string;
  /** `freeze of etcd`. */
  readonly what: string;
  readonly undoes: readonly Operation[];
}

/** 2: etcds by their client files. */
const VERSION = 2;

export class Journal {
  readonly #disk: Disk;
  readonly #path: string;
  #entries: readonly JournalEntry[];

  private constructor(disk: Disk, path: string, entries: readonly JournalEntry[]) {
    this.#disk = disk;
    this.#path = path;
    this.#entries = entries;
  }

  /** Reads what an earlier process left. @throws UserError when it cannot be read: what it says must not be forgotten. */
  static async open(disk: Disk, folder: string): Promise<Journal> {
    const path = `${folder}/journal.json`;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const { version, entries } = JSON.parse(await disk.readText(path)) as Stored;
      if (version !== VERSION && entries.length > 0) throw new Error(`${path}: is version ${version}`);
      return new Journal(disk, path, entries);
    } catch (error) {
      if (error instanceof DiskError && error.code === "absent") return new Journal(disk, path, []);
      throw new UserError(`journal ${path}: ${messageOf(error)}; undo by hand what it says, and remove it`);
    }
  }

  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  async add(entry: JournalEntry): Promise<void> {
    await this.#write([...this.#entries, entry]);
  }

  async remove(id: string): Promise<void> {
    await this.#write(this.#entries.filter((entry) => entry.id !== id));
  }

  /** In memory only once it is on disk. */
  async #write(entries: readonly JournalEntry[]): Promise<void> {
    const stored: Stored = { version: VERSION, entries };
    await this.#disk.writeAtomic(this.#path, new TextEncoder().encode(`${JSON.stringify(stored, null, 2)}\n`));
    this.#entries = entries;
  }
}

interface Stored {
  readonly version: number;
  readonly entries: readonly JournalEntry[];
}
