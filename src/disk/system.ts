/** The machine's own disk. */
import { constants } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DirectoryListing, DiskErrorCode, DiskFile, FileContent, FolderDisk, UnreadableFile } from "./door.ts";
import { DiskError, MAX_FILE_BYTES, piecesOf, tooLarge } from "./door.ts";

const CODES: ReadonlyMap<string, DiskErrorCode> = new Map([
  ["ENOENT", "absent"],
  ["ENOTDIR", "absent"],
  ["EACCES", "denied"],
  ["EPERM", "denied"],
  ["ENOSPC", "no-space"],
  ["EDQUOT", "no-space"],
]);

function diskError(path: string, error: unknown): DiskError {
  if (error instanceof DiskError) return error;
  const system = error as NodeJS.ErrnoException;
  const code = CODES.get(system.code ?? "") ?? "failed";
  return new DiskError(code, `${path}: ${system.code ?? system.message}`);
}

async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw diskError(path, error);
  }
}

/** Does not wait for the other end of a pipe. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** The bytes of a regular file, or undefined when the path is something else. */
async function readRegular(path: string, maxBytes = MAX_FILE_BYTES): Promise<Uint8Array | undefined> {
  const handle = await open(path, READ_FLAGS);
  try {
    const found = await handle.stat();
    if (!found.isFile()) return undefined;
    if (found.size > maxBytes) throw tooLarge(path, found.size, maxBytes);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function readBytes(path: string, maxBytes?: number): Promise<Uint8Array> {
  const bytes = await guarded(path, () => readRegular(path, maxBytes));
  if (!bytes) throw new DiskError("failed", `${path} is not a regular file`);
  return bytes;
}

/** Adds one directory entry to `files` or `unreadable`; one that vanished since the listing is in neither. */
async function readEntry(
  directory: string,
  name: string,
  files: DiskFile[],
  unreadable: UnreadableFile[],
): Promise<void> {
  const path = join(directory, name);
  try {
    const bytes = await guarded(path, () => readRegular(path));
    if (bytes) files.push({ name, bytes });
  } catch (error) {
    const fault = diskError(path, error);
    if (fault.code !== "absent") unreadable.push({ name, detail: fault.message });
  }
}

/** Names of files and links in a directory, in order. */
async function namesIn(directory: string): Promise<readonly string[]> {
  const entries = await guarded(directory, () => readdir(directory, { withFileTypes: true }));
  const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
  return files
    .map(({ name }) => name)
    .filter((name) => !name.startsWith("."))
    .sort();
}

async function list(directory: string): Promise<DirectoryListing> {
  const files: DiskFile[] = [];
  const unreadable: UnreadableFile[] = [];
  for (const name of await namesIn(directory)) await readEntry(directory, name, files, unreadable);
  return { files, unreadable };
}

async function stamp(directory: string): Promise<string> {
  const lines: string[] = [];
  for (const name of await namesIn(directory)) lines.push(`${name} ${await stampOf(join(directory, name))}`);
  return lines.join("\n");
}

/** Of what the path leads to. Every write, rename and change of mode moves the change time, which nobody can set. */
async function stampOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, ctimeNs } = await stat(path, { bigint: true });
    return `${dev} ${ino} ${size} ${ctimeNs}`;
  } catch (error) {
    return diskError(path, error).code;
  }
}

async function writeSynced(path: string, content: FileContent): Promise<void> {
  const handle = await open(path, "w", 0o600);
  try {
    for await (const piece of piecesOf(content)) await handle.writeFile(piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new name is on the disk once its folder is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What processes that were killed were writing there. */
async function removeLeftBehind(path: string): Promise<void> {
  const directory = dirname(path);
  const start = `.${basename(path)}.`;
  for (const name of await readdir(directory)) {
    const [, pid] = /^(\d+)\.new$/.exec(name.startsWith(start) ? name.slice(start.length) : "") ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(directory, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

async function writeAtomic(path: string, content: FileContent): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  await guarded(path, async () => {
    try {
      await removeLeftBehind(path);
      await writeSynced(temporary, content);
      await rename(temporary, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  });
}

async function folders(directory: string): Promise<readonly string[]> {
  const entries = await guarded(directory, () => readdir(directory, { withFileTypes: true }));
  const inside = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
  return inside.map(({ name }) => name).sort();
}

export const systemDisk: FolderDisk = {
  readBytes,
  readText: async (path) => new TextDecoder().decode(await readBytes(path)),
  list,
  stamp,
  writeAtomic,
  unlink: (path) => guarded(path, () => rm(path, { force: true })),
  mkdir: async (directory) => void (await guarded(directory, () => mkdir(directory, { recursive: true, mode: 0o700 }))),
  folders,
};
