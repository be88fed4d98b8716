/** What negative numbers from libbpf mean. */
import { constants } from "node:os";
import { KernelError } from "./door.ts";

export const ERRNO = {
  EPERM: constants.errno.EPERM,
  ENOENT: constants.errno.ENOENT,
  E2BIG: constants.errno.E2BIG,
  EBADF: constants.errno.EBADF,
  EINVAL: constants.errno.EINVAL,
  ENOSPC: constants.errno.ENOSPC,
  ENOLINK: constants.errno.ENOLINK,
  EEXIST: constants.errno.EEXIST,
  ENODEV: constants.errno.ENODEV,
  EAGAIN: constants.errno.EAGAIN,
  EINTR: constants.errno.EINTR,
  ENOBUFS: constants.errno.ENOBUFS,
  EOPNOTSUPP: constants.errno.EOPNOTSUPP,
  EAFNOSUPPORT: constants.errno.EAFNOSUPPORT,
  ESTALE: constants.errno.ESTALE,
  EBADMSG: constants.errno.EBADMSG,
  /** The kernel's own, which no header of user space names. */
  ENOTSUPP: 524,
} as const;

const NAMES = new Map<number, string>(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** Room may come back; anything else stays as it is until a person acts. */
const RETRYABLE: ReadonlySet<number> = new Set([
  constants.errno.E2BIG,
  constants.errno.ENOSPC,
  constants.errno.ENOMEM,
  constants.errno.EAGAIN,
  constants.errno.EBUSY,
  constants.errno.EINTR,
]);

const HINTS: ReadonlyMap<number, string> = new Map([
  [constants.errno.EPERM, "needs root, or the capabilities BPF, NET_ADMIN and PERFMON"],
  [constants.errno.EACCES, "needs root, or the program was refused by the verifier"],
  [constants.errno.E2BIG, "the map is full"],
  [constants.errno.ENODEV, "the device is gone"],
  [constants.errno.ENOMEM, "the kernel has no memory for it"],
]);

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** `what` in a few words, with the errno's name and what mends it. `done`: entries written before the failure. */
export function kernelError(what: string, errno: number, done = 0): KernelError {
  const hint = HINTS.get(errno);
  const message = `${what}: ${errnoName(errno)}${hint === undefined ? "" : ` (${hint})`}`;
  return new KernelError(message, errno, done, RETRYABLE.has(errno));
}
