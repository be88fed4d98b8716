/** Pins: names on a BPF file system that keep maps and links alive when no process does. A name must not hold a dot. */
import { existsSync, mkdirSync, statfsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { UserError } from "../runtime/user-error.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { libbpf } from "./library.ts";

const BPF_FILE_SYSTEM = 0xcafe4a11;
const CGROUP2_FILE_SYSTEM = 0x63677270;

export function mapPin(directory: string, map: string, layoutVersion: number): string {
  return resolve(directory, `${map}_v${layoutVersion}`);
}

/** Without a version: whatever the layout, one link runs one program, and a new one takes its place without a gap. */
export function linkPin(directory: string, program: string): string {
  return resolve(directory, `link_${program}`);
}

/** Throws a UserError when `directory`, which need not exist, is not on a BPF file system. */
export function requireBpfFileSystem(directory: string): void {
  let existing = resolve(directory);
  while (!existsSync(existing)) existing = dirname(existing);
  if (statfsSync(existing).type === BPF_FILE_SYSTEM) return;
  throw new UserError(`${directory} is not on a BPF file system; mount one: mount -t bpf bpf ${directory}`);
}

export function preparePinDirectory(directory: string): void {
  requireBpfFileSystem(directory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}

export function requireCgroup2(directory: string): void {
  if (!existsSync(directory))
    throw new UserError(`${directory} does not exist; it must be a directory of a cgroup2 tree`);
  if (statfsSync(directory).type === CGROUP2_FILE_SYSTEM) return;
  throw new UserError(`${directory} is not in a cgroup2 tree; find its mount in /proc/self/mounts`);
}

/** A descriptor of what is pinned at `path`, or undefined when nothing is. The caller closes it. */
export function openPin(path: string): number | undefined {
  const fd = libbpf().openPin(path);
  if (fd >= 0) return fd;
  if (-fd === ERRNO.ENOENT) return undefined;
  throw kernelError(`opening the pin ${path}`, -fd);
}
