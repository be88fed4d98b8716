/** What drilld may do, on which targets, and from where it may send probes. Whatever is not in this file is refused. */
import { stat } from "node:fs/promises";
import type { Disk } from "../disk/door.ts";
import { FAULTS, type Fault } from "../model/drill.ts";
import { formed, listOf, maybe, record, someOf, text, wholeFrom, word } from "../runtime/schema.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { plainName, readYamlAs } from "./drill-file.ts";

const path = formed(
  (given) => (/^\/[^\0]*[^/\0]$/.test(given) && !given.split("/").includes("..") ? given : undefined),
  "must be an absolute path without '..'",
);
const device = formed(
  (given) => (/^[A-Za-z0-9._-]{1,15}$/.test(given) ? given : undefined),
  "must be the name of a network device",
);

/** Of one container and no other: as Compose gives them, or `docker run --label`. */
const label = formed(
  (given) => (/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}=[\x21-\x7e]{1,128}$/.test(given) ? given : undefined),
  "must be a label of one container, NAME=VALUE",
);

const MAX_PORT = 65_535;

const schema = record({
  version: wholeFrom(1, 1),
  probes: listOf(record({ name: plainName, netns: maybe(path), cgroup: maybe(path), container: maybe(label) })),
  targets: listOf(
    record({
      name: plainName,
      faults: someOf(word(...FAULTS)),
      process: maybe(record({ pidFile: path, command: text, start: maybe(someOf(text)) })),
      container: maybe(label),
      device: maybe(record({ netns: maybe(path), name: device, port: maybe(wholeFrom(1, MAX_PORT)) })),
      etcd: maybe(record({ config: path, data: path, backup: maybe(path) })),
      exporter: maybe(record({ socket: path })),
      pins: maybe(path),
    }),
  ),
});

export type AllowList = ReturnType<typeof parseAllowList>;
export type Target = AllowList["targets"][number];
export type Place = AllowList["probes"][number];

/** What a target must say for a fault to be possible. */
const NEEDS: Readonly<Record<Fault, (target: Target) => string | undefined>> = {
  kill: startable,
  start: startable,
  thaw: ({ process, container }) => (process || container ? undefined : "process or container"),
  freeze: ({ process, container }) => (process || container ? undefined : "process or container"),
  blackhole: ({ device }) => (device ? undefined : "device"),
  "link-down": ({ device }) => (device ? undefined : "device"),
  flap: ({ device }) => (device ? undefined : "device"),
  wipe: (target) => startable(target) ?? (target.etcd ? undefined : "etcd"),
  "restore-old": (target) => startable(target) ?? (target.etcd?.backup ? undefined : "etcd.backup"),
  quota: ({ etcd }) => (etcd ? undefined : "etcd"),
  drain: ({ exporter }) => (exporter ? undefined : "exporter"),
  reboot: (target) => startable(target) ?? (target.pins ? undefined : "pins"),
};

function startable({ process, container }: Target): string | undefined {
  return process?.start || container ? undefined : "process.start or container";
}

const NOT_OF_CONTAINERS: ReadonlySet<Fault> = new Set<Fault>(["drain", "reboot"]);

function misplaced({ faults, container, process, device }: Target): string | undefined {
  if (container === undefined) return undefined;
  if (process || device?.netns) return "names a container beside a process or a netns; remove one";
  const other = faults.find((fault) => NOT_OF_CONTAINERS.has(fault));
  return other && `${other} is not done to a container; give it a target of its own`;
}

/** @throws UserError of one line. */
export function parseAllowList(file: string, content: string) {
  const list = readYamlAs(schema, file, content);
  const names = new Set<string>();
  for (const target of list.targets) {
    if (names.has(target.name)) throw new UserError(`${file}: target ${target.name} is there twice; rename one`);
    names.add(target.name);
    const wrong = misplaced(target);
    if (wrong) throw new UserError(`${file}: target ${target.name}: ${wrong}`);
    for (const fault of target.faults) {
      const missing = NEEDS[fault](target);
      if (missing) throw new UserError(`${file}: target ${target.name}: ${fault} needs ${missing}; add it`);
    }
  }
  const both = list.probes.find(({ container, netns, cgroup }) => container && (netns || cgroup));
  if (both) throw new UserError(`${file}: place ${both.name} names a container beside a netns or cgroup; remove one`);
  return list;
}

export function namesContainers({ probes, targets }: AllowList): boolean {
  return [...probes, ...targets].some(({ container }) => container !== undefined);
}

/** Writable by its owner alone: who may write it decides what is broken here. @throws UserError */
export async function readAllowList(disk: Disk, file: string): Promise<AllowList> {
  try {
    const { mode } = await stat(file);
    if ((mode & 0o022) !== 0) throw new Error(`${file}: others than its owner may write it; chmod go-w it`);
    return parseAllowList(file, await disk.readText(file));
  } catch (error) {
    throw new UserError(`--allow-list ${messageOf(error)}`);
  }
}

/** @throws UserError that says why it may not be. */
export function admit(list: AllowList, fault: Fault, name: string): Target {
  const target = list.targets.find((candidate) => candidate.name === name);
  const known = list.targets.map((candidate) => candidate.name).join(", ") || "none";
  if (!target) throw new UserError(`target ${name} is not on the allow-list of this drilld; on it: ${known}`);
  if (target.faults.includes(fault)) return target;
  const allowed = target.faults.join(", ");
  throw new UserError(`${fault} of ${name} is not on the allow-list of this drilld; allowed: ${allowed}`);
}
