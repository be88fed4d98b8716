/** Clsact filters: programs at a device where the kernel has no tcx links. They stay with the device; nothing is pinned. */
import { closeSync } from "node:fs";
import type { AttachOutcome } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { programName } from "./info.ts";
import { libbpf } from "./library.ts";
import { type Program, runs } from "./link.ts";

const HOOK_BYTES = 24;
const OPTIONS_BYTES = 32;
/** By these a filter is known as ours, with the program's name. */
const PRIORITY = 0xb01;
const HANDLE = 0xb01c;
const FLAG_REPLACE = 1;

/** Which way packets go, seen from the device. */
export const FILTER_POINT = { ingress: 1, egress: 2 } as const;
export type FilterPoint = (typeof FILTER_POINT)[keyof typeof FILTER_POINT];

function hookOf(ifindex: number, point: number): Buffer {
  const hook = Buffer.alloc(HOOK_BYTES);
  hook.writeBigUInt64LE(BigInt(HOOK_BYTES), 0);
  hook.writeInt32LE(ifindex, 8);
  hook.writeInt32LE(point, 12);
  return hook;
}

function optionsOf(programFd = 0, flags = 0): Buffer {
  const options = Buffer.alloc(OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(OPTIONS_BYTES), 0);
  options.writeInt32LE(programFd, 8);
  options.writeUInt32LE(flags, 12);
  options.writeUInt32LE(HANDLE, 20);
  options.writeUInt32LE(PRIORITY, 24);
  return options;
}

/** Id of the program in our filter there, or undefined. */
function filteringProgram(ifindex: number, point: FilterPoint): number | undefined {
  const answer = optionsOf();
  if (libbpf().queryFilter(hookOf(ifindex, point), answer) !== 0) return undefined;
  return answer.readUInt32LE(16);
}

export function attachFilter(program: Program, ifindex: number, point: FilterPoint): AttachOutcome {
  const before = filteringProgram(ifindex, point);
  if (before !== undefined && runs(before, program)) return "unchanged";
  const created = -libbpf().createFilterHook(hookOf(ifindex, FILTER_POINT.ingress | FILTER_POINT.egress));
  const errno =
    created !== 0 && created !== ERRNO.EEXIST
      ? created
      : -libbpf().attachFilter(hookOf(ifindex, point), optionsOf(program.fd, FLAG_REPLACE));
  if (errno !== 0) throw kernelError(`attaching ${program.name} to device ${ifindex} by clsact`, errno);
  return before === undefined ? "created" : "replaced";
}

/** Takes our filter off, if it is there and holds a program of this name. */
export function detachFilter(name: string, ifindex: number, point: FilterPoint): boolean {
  const id = filteringProgram(ifindex, point);
  if (id === undefined || !isNamed(id, name)) return false;
  return libbpf().detachFilter(hookOf(ifindex, point), optionsOf()) === 0;
}

function isNamed(programId: number, name: string): boolean {
  const fd = libbpf().programFdById(programId);
  if (fd < 0) return false;
  try {
    return programName(fd) === name;
  } finally {
    closeSync(fd);
  }
}
