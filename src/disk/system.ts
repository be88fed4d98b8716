/** The machine's own disk. */
import { constants } from "node:fs";
import { open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DirectoryListing, Disk, DiskErrorCode, DiskFile, UnreadableFile } from "./door.ts";
import { DiskError, MAX_FILE_BYTES, tooLarge } from "./door.ts";

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
async function readRegular(path: string): Promise<Uint8Array | undefined> {
  const handle = await open(path, READ_FLAGS);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return undefined;
    if (stat.size > MAX_FILE_BYTES) throw tooLarge(path, stat.size);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  const bytes = await guarded(path, () => readRegular(path));
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

async function list(directory: string): Promise<DirectoryListing> {
  const entries = await guarded(directory, () => readdir(directory, { withFileTypes: true }));
  const names = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink()).map((entry) => entry.name);
  const files: DiskFile[] = [];
  const unreadable: UnreadableFile[] = [];
  for (const name of names.sort()) {
    if (!name.startsWith(".")) await readEntry(directory, name, files, unreadable);
  }
  return { files, unreadable };
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, "w", 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  await guarded(path, async () => {
    try {
      await writeSynced(temporary, bytes);
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  });
}

export const systemDisk: Disk = {
  readBytes,
  readText: async (path) => new TextDecoder().decode(await readBytes(path)),
  list,
  writeAtomic,
};
