/** Visits to other network namespaces, on this thread, between two turns of the loop. */
import { closeSync, openSync } from "node:fs";
import { kernelError } from "./errno.ts";
import { libc } from "./libc.ts";
import { lastErrno } from "./library.ts";

const NETWORK_NAMESPACE = 0x40000000;

/** The namespace that this thread is in. */
export const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/**
 * Runs `action`, up to its first await, in the network namespace at `path` (such as /var/run/netns/x). Sockets and devices that it opens stay there.
 * Throws what opening the path throws, a KernelError when it cannot be entered, and what `action` throws. Needs SYS_ADMIN.
 */
export function inNamespace<T>(path: string, action: () => T): T {
  const home = openSync(OWN_NAMESPACE, "r");
  try {
    const away = openSync(path, "r");
    try {
      if (!enter(away)) throw kernelError(`entering ${path}`, lastErrno());
      try {
        return action();
      } finally {
        goBack(home);
      }
    } finally {
      closeSync(away);
    }
  } finally {
    closeSync(home);
  }
}

/** Whatever a program does elsewhere than it believes to be is wrong: without a way back it must end. */
function goBack(home: number): void {
  if (!enter(home)) throw new Error("there is no way back to the own network namespace");
}

function enter(fd: number): boolean {
  return libc().setNamespace(fd, NETWORK_NAMESPACE) >= 0;
}
