/** Reads of a node what decides whether an agent can work there. Changes nothing. */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import type { NodeFacts } from "../model/doctor.ts";
import { messageOf } from "../runtime/user-error.ts";
import { cgroup2Mount } from "./cgroup.ts";
import { libbpf } from "./library.ts";
import { requireBpfFileSystem } from "./pins.ts";

export interface NodeQuestion {
  readonly pinFolder: string;
  readonly snapshotFolder: string;
  readonly sysctls: readonly string[];
  readonly addresses: number;
}

export function readNodeFacts({ pinFolder, snapshotFolder, sysctls, addresses }: NodeQuestion): NodeFacts {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readOr("/proc/self/status", ""))?.[1];
  const cgroup2 = cgroup2Mount(readOr("/proc/self/mounts", ""));
  const pinFault = faultOf(() => requireBpfFileSystem(pinFolder));
  const libbpfFault = faultOf(() => void libbpf());
  const snapshotFault = faultOf(() => accessSync(snapshotFolder, constants.W_OK));
  const values = sysctls.map((name) => [name, readOr(`/proc/sys/${name.replaceAll(".", "/")}`, "").trim()] as const);
  return {
    kernelRelease: release(),
    btf: existsSync("/sys/kernel/btf/vmlinux"),
    ...(capabilities !== undefined && { capabilities }),
    ...(cgroup2 !== undefined && { cgroup2 }),
    ...(pinFault !== undefined && { pinFault }),
    ...(libbpfFault !== undefined && { libbpfFault }),
    ...(snapshotFault !== undefined && { snapshotFault }),
    ...{ pinFolder, snapshotFolder, addresses },
    sysctls: Object.fromEntries(values.filter(([, value]) => value !== "")),
  };
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}

function faultOf(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
