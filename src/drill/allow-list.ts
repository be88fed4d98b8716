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
const httpUrl = formed(
  (given) => (/^http:\/\/[0-9A-Za-z.:[\]-]+:\d{1,5}$/.test(given) ? given : undefined),
  "must be http://HOST:PORT",
);

const MAX_PORT = 65_535;

const schema = record({
  version: wholeFrom(1, 1),
  probes: listOf(record({ name: plainName, netns: maybe(path), cgroup: maybe(path) })),
  targets: listOf(
    record({
      name: plainName,
      faults: someOf(word(...FAULTS)),
      process: maybe(record({ pidFile: path, command: text, start: maybe(someOf(text)) })),
      device: maybe(record({ netns: maybe(path), name: device, port: maybe(wholeFrom(1, MAX_PORT)) })),
      etcd: maybe(record({ endpoint: httpUrl, data: path, backup: maybe(path) })),
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
  thaw: ({ process }) => (process ? undefined : "process"),
  freeze: ({ process }) => (process ? undefined : "process"),
  blackhole: ({ device }) => (device ? undefined : "device"),
  "link-down": ({ device }) => (device ? undefined : "device"),
  flap: ({ device }) => (device ? undefined : "device"),
  wipe: (target) => startable(target) ?? (target.etcd ? undefined : "etcd"),
  "restore-old": (target) => startable(target) ?? (target.etcd?.backup ? undefined : "etcd.backup"),
  quota: ({ etcd }) => (etcd ? undefined : "etcd"),
};

function startable({ process }: Target): string | undefined {
  return process?.start ? undefined : "process.start";
}

/** @throws UserError of one line. */
export function parseAllowList(file: string, content: string) {
  const list = readYamlAs(schema, file, content);
  const names = new Set<string>();
  for (const target of list.targets) {
    if (names.has(target.name)) throw new UserError(`${file}: target ${target.name} is there twice; rename one`);
    names.add(target.name);
    for (const fault of target.faults) {
      const missing = NEEDS[fault](target);
      if (missing) throw new UserError(`${file}: target ${target.name}: ${fault} needs ${missing}; add it`);
    }
  }
  return list;
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
