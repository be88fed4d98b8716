/** Links: a program at a hook of a cgroup or a device, kept by a pin, replaced in place without a gap. */
import { closeSync, constants, openSync, renameSync, rmSync, statSync } from "node:fs";
import { type AttachOutcome, KernelError } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { LINK_TYPE_TCX, type LinkInfo, linkInfo, programFingerprint, programId } from "./info.ts";
import { checked, libbpf } from "./library.ts";
import { openPin } from "./pins.ts";

const LINK_TYPE_CGROUP = 3;
const UPDATE_OPTIONS_BYTES = 16;
/** The update fails when the link does not run the program we saw: another agent is at work. */
const FLAG_REPLACE = 4;
/** Of programs for devices (BPF_PROG_TYPE_SCHED_CLS); all others are for cgroups. */
export const DEVICE_PROGRAM = 3;

export interface Program {
  readonly name: string;
  readonly fd: number;
  readonly type: number;
  readonly attachType: number;
}

/** What a program is attached to. */
export interface LinkTarget {
  readonly name: string;
  /** A cgroup's descriptor, or a device's index. */
  readonly number: number;
  /** Whether a link is attached here: one whose cgroup or device is gone, or was made anew under the same name, leads nowhere. */
  holds(info: LinkInfo): boolean;
}

export interface OpenCgroup extends LinkTarget {
  close(): void;
}

/** A cgroup2 directory held open; its inode is the id that links name. */
export function openCgroup(directory: string): OpenCgroup {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const id = statSync(directory, { bigint: true }).ino;
  return {
    name: directory,
    number: fd,
    holds: (info) => info.type === LINK_TYPE_CGROUP && info.cgroupId === id,
    close: () => closeSync(fd),
  };
}

export function deviceTarget({ ifindex, name }: { readonly ifindex: number; readonly name: string }): LinkTarget {
  return { name, number: ifindex, holds: (info) => info.type === LINK_TYPE_TCX && info.ifindex === ifindex };
}

/** Makes the link pinned at `pin` run `program` at `target`. */
export function attach(program: Program, target: LinkTarget, pin: string): AttachOutcome {
  const linkFd = openPin(pin);
  if (linkFd === undefined) return create(program, target, pin);
  try {
    const info = linkInfo(linkFd);
    if (!target.holds(info) || info.attachType !== program.attachType) return create(program, target, pin);
    return replace(linkFd, info, program) ?? create(program, target, pin);
  } finally {
    closeSync(linkFd);
  }
}

/** A new link; a pin that is already there is replaced by renaming, after the new link works. */
function create(program: Program, target: LinkTarget, pin: string): AttachOutcome {
  const what = `attaching ${program.name} to ${target.name}`;
  const fd = checked(what, libbpf().createLink(program.fd, target.number, program.attachType, null));
  try {
    const fresh = `${pin}_new`;
    rmSync(fresh, { force: true });
    checked(`pinning ${fresh}`, libbpf().pin(fd, fresh));
    renameSync(fresh, pin);
  } finally {
    closeSync(fd);
  }
  return "created";
}

/** Whether the program with this id is the same code with the same maps. Without SYS_ADMIN the kernel does not say: then it is not. */
export function runs(running: number, program: Program): boolean {
  if (running === programId(program.fd)) return true;
  const fd = libbpf().programFdById(running);
  if (fd < 0) return false;
  try {
    return programFingerprint(fd) === programFingerprint(program.fd);
  } finally {
    closeSync(fd);
  }
}

/** Undefined when the link lost its cgroup or device meanwhile. */
function replace(linkFd: number, info: LinkInfo, program: Program): AttachOutcome | undefined {
  if (runs(info.programId, program)) return "unchanged";
  const runningFd = libbpf().programFdById(info.programId);
  try {
    const errno = -libbpf().updateLink(linkFd, program.fd, runningFd >= 0 ? expecting(runningFd) : null);
    if (errno === ERRNO.ENOLINK) return undefined;
    if (errno === ERRNO.EPERM && runningFd >= 0) {
      throw new KernelError(`replacing ${program.name}: another process replaced it meanwhile`, errno, 0, true);
    }
    if (errno !== 0) throw kernelError(`replacing ${program.name}`, errno);
    return "replaced";
  } finally {
    // Without SYS_ADMIN the program is replaced unseen.
    if (runningFd >= 0) closeSync(runningFd);
  }
}

/** struct bpf_link_update_opts. */
function expecting(programFd: number): Buffer {
  const options = Buffer.alloc(UPDATE_OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(UPDATE_OPTIONS_BYTES), 0);
  options.writeUInt32LE(FLAG_REPLACE, 8);
  options.writeUInt32LE(programFd, 12);
  return options;
}
