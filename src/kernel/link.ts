/** Cgroup links: a program at a hook of a cgroup, kept by a pin, replaced in place without a gap. */
import { closeSync, constants, openSync, renameSync, rmSync, statSync } from "node:fs";
import { type AttachOutcome, KernelError } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { type LinkInfo, linkInfo, programFingerprint } from "./info.ts";
import { checked, libbpf } from "./library.ts";
import { openPin } from "./pins.ts";

const LINK_TYPE_CGROUP = 3;
const UPDATE_OPTIONS_BYTES = 16;
/** The update fails when the link does not run the program we saw: another agent is at work. */
const FLAG_REPLACE = 4;

export interface CgroupProgram {
  readonly name: string;
  readonly fd: number;
  readonly attachType: number;
}

/** A cgroup2 directory held open; its inode is the id that links name. */
export interface OpenCgroup {
  readonly directory: string;
  readonly fd: number;
  readonly id: bigint;
}

export function openCgroup(directory: string): OpenCgroup {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  return { directory, fd, id: statSync(directory, { bigint: true }).ino };
}

/** Makes the link pinned at `pin` run `program` at `cgroup`. */
export function attach(program: CgroupProgram, cgroup: OpenCgroup, pin: string): AttachOutcome {
  const linkFd = openPin(pin);
  if (linkFd === undefined) return create(program, cgroup, pin);
  try {
    const info = linkInfo(linkFd);
    if (!leadsTo(info, program, cgroup)) return create(program, cgroup, pin);
    return replace(linkFd, info, program) ?? create(program, cgroup, pin);
  } finally {
    closeSync(linkFd);
  }
}

/** A link whose cgroup was removed, or made anew under the same path, leads nowhere. */
function leadsTo(info: LinkInfo, program: CgroupProgram, cgroup: OpenCgroup): boolean {
  return info.type === LINK_TYPE_CGROUP && info.cgroupId === cgroup.id && info.attachType === program.attachType;
}

/** A new link; a pin that is already there is replaced by renaming, after the new link works. */
function create(program: CgroupProgram, cgroup: OpenCgroup, pin: string): AttachOutcome {
  const what = `attaching ${program.name} to ${cgroup.directory}`;
  const fd = checked(what, libbpf().createLink(program.fd, cgroup.fd, program.attachType, null));
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

/** Undefined when the link lost its cgroup meanwhile. */
function replace(linkFd: number, info: LinkInfo, program: CgroupProgram): AttachOutcome | undefined {
  const runningFd = libbpf().programFdById(info.programId);
  try {
    if (runningFd >= 0 && programFingerprint(runningFd) === programFingerprint(program.fd)) return "unchanged";
    const errno = -libbpf().updateLink(linkFd, program.fd, runningFd >= 0 ? expecting(runningFd) : null);
    if (errno === ERRNO.ENOLINK) return undefined;
    if (errno === ERRNO.EPERM && runningFd >= 0) {
      throw new KernelError(`replacing ${program.name}: another process replaced it meanwhile`, errno, 0, true);
    }
    if (errno !== 0) throw kernelError(`replacing ${program.name}`, errno);
    return "replaced";
  } finally {
    // Without SYS_ADMIN the kernel does not open a program by its id; then it is replaced unseen.
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
