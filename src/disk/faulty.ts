/** A disk with faults, over any other. */
import { join } from "node:path";
import type { DirectoryListing, Disk, DiskFile, UnreadableFile } from "./door.ts";
import { DiskError } from "./door.ts";

export type DiskOperation = "read" | "list" | "write";

/** The code of the failure of this call, or undefined: it goes through. Within a listing each file is asked for as a `read`. */
export type DiskFaults = (operation: DiskOperation, path: string) => DiskError["code"] | undefined;

export function faultyDisk(disk: Disk, faults: DiskFaults): Disk {
  const check = (operation: DiskOperation, path: string): void => {
    const code = faults(operation, path);
    if (code) throw new DiskError(code, `${path}: ${code} (injected)`);
  };
  return {
    async readBytes(path, maxBytes) {
      check("read", path);
      return disk.readBytes(path, maxBytes);
    },
    async readText(path) {
      check("read", path);
      return disk.readText(path);
    },
    async list(directory) {
      check("list", directory);
      return withUnreadable(directory, await disk.list(directory), faults);
    },
    async stamp(directory) {
      check("list", directory);
      const { unreadable } = withUnreadable(directory, await disk.list(directory), faults);
      return [await disk.stamp(directory), ...unreadable.map(({ detail }) => detail)].join("\n");
    },
    async writeAtomic(path, content) {
      check("write", path);
      return disk.writeAtomic(path, content);
    },
  };
}

function withUnreadable(directory: string, listing: DirectoryListing, faults: DiskFaults): DirectoryListing {
  const files: DiskFile[] = [];
  const unreadable: UnreadableFile[] = [...listing.unreadable];
  for (const file of listing.files) {
    const path = join(directory, file.name);
    const code = faults("read", path);
    if (code) unreadable.push({ name: file.name, detail: `${path}: ${code} (injected)` });
    else files.push(file);
  }
  return { files, unreadable };
}
