/** A disk in memory: a map of whole paths. Directories exist as soon as they are made or hold a file. */
import { posix } from "node:path";
import type { DirectoryListing, DiskFile, FileContent, FolderDisk } from "./door.ts";
import { DiskError, MAX_FILE_BYTES, piecesOf, tooLarge } from "./door.ts";

export class MemoryDisk implements FolderDisk {
  readonly #files = new Map<string, Uint8Array>();
  readonly #directories = new Set<string>();
  /** By path: how many files were written before. */
  readonly #written = new Map<string, number>();
  #writes = 0;

  /** Writes at once; text is UTF-8. */
  put(path: string, content: string | Uint8Array): void {
    const whole = posix.normalize(path);
    this.makeDirectory(posix.dirname(whole));
    this.#written.set(whole, ++this.#writes);
    this.#files.set(whole, typeof content === "string" ? new TextEncoder().encode(content) : content.slice());
  }

  remove(path: string): void {
    this.#files.delete(posix.normalize(path));
  }

  makeDirectory(directory: string): void {
    this.#directories.add(posix.normalize(directory));
  }

  /** The directory and all files in it. */
  removeDirectory(directory: string): void {
    const whole = posix.normalize(directory);
    this.#directories.delete(whole);
    for (const path of this.#files.keys()) if (posix.dirname(path) === whole) this.#files.delete(path);
  }

  async readBytes(path: string, maxBytes = MAX_FILE_BYTES): Promise<Uint8Array> {
    const bytes = this.#files.get(posix.normalize(path));
    if (!bytes) throw new DiskError("absent", `${path}: ENOENT`);
    if (bytes.length > maxBytes) throw tooLarge(path, bytes.length, maxBytes);
    return bytes.slice();
  }

  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(await this.readBytes(path));
  }

  async list(directory: string): Promise<DirectoryListing> {
    const files: DiskFile[] = [];
    for (const path of this.#paths(directory)) {
      files.push({ name: posix.basename(path), bytes: await this.readBytes(path) });
    }
    return { files, unreadable: [] };
  }

  async stamp(directory: string): Promise<string> {
    return this.#paths(directory)
      .map((path) => `${path} ${this.#written.get(path)}`)
      .join("\n");
  }

  /** Of the files in a directory, in order. */
  #paths(directory: string): readonly string[] {
    const whole = posix.normalize(directory);
    if (!this.#directories.has(whole)) throw new DiskError("absent", `${directory}: ENOENT`);
    const inside = (path: string): boolean => posix.dirname(path) === whole && !posix.basename(path).startsWith(".");
    return [...this.#files.keys()].filter(inside).sort();
  }

  async writeAtomic(path: string, content: FileContent): Promise<void> {
    if (!this.#directories.has(posix.normalize(posix.dirname(path)))) throw new DiskError("absent", `${path}: ENOENT`);
    const pieces: Uint8Array[] = [];
    for await (const piece of piecesOf(content)) pieces.push(piece);
    this.put(path, Buffer.concat(pieces));
  }

  async unlink(path: string): Promise<void> {
    this.remove(path);
  }

  async mkdir(directory: string): Promise<void> {
    const whole = posix.normalize(directory);
    if (posix.dirname(whole) !== whole) await this.mkdir(posix.dirname(whole));
    this.makeDirectory(whole);
  }

  async folders(directory: string): Promise<readonly string[]> {
    const whole = posix.normalize(directory);
    if (!this.#directories.has(whole)) throw new DiskError("absent", `${directory}: ENOENT`);
    const inside = [...this.#directories].filter((one) => posix.dirname(one) === whole && one !== whole);
    return inside.map((one) => posix.basename(one)).sort();
  }
}

/** A memory disk that holds `files`: path -> text. */
export function memoryDisk(files: Readonly<Record<string, string>> = {}): MemoryDisk {
  const disk = new MemoryDisk();
  for (const [path, text] of Object.entries(files)) disk.put(path, text);
  return disk;
}
