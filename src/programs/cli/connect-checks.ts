/** What could be wrong with two clusters that are to be joined: one line each, before anything is written. */
import { join } from "node:path";
import { connectAs } from "../../access/etcd.ts";
import type { Disk } from "../../disk/door.ts";
import { systemDisk } from "../../disk/system.ts";
import { connectFiles, type Side, staged, trustFault } from "../../join/connection.ts";
import { outside, overlaps } from "../../join/ranges.ts";
import { territory } from "../../join/territory.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import { systemClock } from "../../runtime/clock.ts";
import { troubleshoot } from "../../troubleshoot/troubleshoot.ts";
import { parseEtcdConfig } from "../../wire/etcd-config.ts";

/** `from` follows `to`. */
export interface Way {
  readonly from: string;
  readonly to: string;
  readonly folder: string;
}

/** A way with what is read of both ends. */
export interface Plan extends Way {
  readonly sides: { readonly from: Side; readonly to: Side };
  /** The folder as the mirror sees it. */
  readonly at: string;
  readonly allowedCidrs?: readonly string[];
}

/** The files of all ways, by the path at which mirrors will read them. */
function stagedFiles(plans: readonly Plan[]): ReadonlyMap<string, Uint8Array> {
  return new Map(
    plans.flatMap((plan) =>
      Array.from(
        connectFiles(plan.sides.from, plan.sides.to, plan),
        ([name, bytes]) => [join(plan.at, name), bytes] as const,
      ),
    ),
  );
}

const label = ({ from, to }: Way): string => `${from} -> ${to}`;

/** Every step of `bulkhead troubleshoot` by the files that are not there yet; ids are compared with each other. */
async function reachFaults(plans: readonly Plan[], disk: Disk, timeoutMs: number): Promise<readonly string[]> {
  const remotes = new Map(plans.map(({ to, at }) => [to, join(at, to)]));
  const findings = await troubleshoot({ remotes }, { disk, connect: connectEtcd, clock: systemClock, timeoutMs });
  return findings.flatMap(({ remote, steps }) => {
    const plan = plans.find(({ to }) => to === remote);
    const failed = steps.filter(({ outcome }) => outcome === "failed");
    return failed.map(({ name, seen, mend }) => `${plan ? label(plan) : remote}: ${name}: ${seen}; mend: ${mend}`);
  });
}

/** Where the addresses of each `to` lie, as its etcd says. */
async function territories(
  plans: readonly Plan[],
  disk: Disk,
  timeoutMs: number,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  const timeouts = { timeoutMs, keepaliveMs: 10_000, keepaliveTimeoutMs: timeoutMs };
  for (const { to, at } of plans) {
    const path = join(at, to);
    const kv = await connectAs({ disk, connect: connectEtcd }, path, await disk.readText(path), timeouts);
    try {
      found.set(to, (await territory(kv, to, systemClock)) ?? []);
    } finally {
      kv.close();
    }
  }
  return found;
}

/** `bulkhead-allowed-cidrs` of the other remotes in a folder, by name. */
async function othersAllowed({ folder, to, from }: Plan): Promise<ReadonlyMap<string, readonly string[]>> {
  const { files } = await systemDisk.list(folder).catch(() => ({ files: [] }));
  return new Map(
    files.flatMap(({ name, bytes }) => {
      const judged = parseEtcdConfig(name, new TextDecoder().decode(bytes));
      const allowed = judged.ok && name !== to && name !== from ? judged.value.allowedCidrs : undefined;
      return allowed ? [[name, allowed] as const] : [];
    }),
  );
}

const SHOWN = 4;
export const some = (texts: readonly string[]): string =>
  texts.length > SHOWN ? `${texts.slice(0, SHOWN).join(", ")} and ${texts.length - SHOWN} more` : texts.join(", ");

const pairs = (found: readonly (readonly [string, string])[]): string =>
  some(found.map(([left, right]) => (left === right ? left : `${left} and ${right}`)));

async function rangeFaults(
  plans: readonly Plan[],
  known: ReadonlyMap<string, readonly string[]>,
): Promise<readonly string[]> {
  const faults: string[] = [];
  const [a, b] = [...known.keys()];
  if (a !== undefined && b !== undefined) {
    const both = overlaps(known.get(a) ?? [], known.get(b) ?? []);
    if (both.length > 0)
      faults.push(
        `${a}, ${b}: their addresses overlap (${pairs(both)}); mend: give one of them other ranges of pods and nodes`,
      );
  }
  for (const plan of plans) {
    const theirs = known.get(plan.to) ?? [];
    const beyond = plan.allowedCidrs ? outside(theirs, plan.allowedCidrs) : [];
    if (beyond.length > 0)
      faults.push(`${label(plan)}: --allow leaves out ${some(beyond)}, which ${plan.to} has; mend: widen it`);
    for (const [name, allowed] of await othersAllowed(plan)) {
      const both = overlaps(plan.allowedCidrs ?? theirs, allowed);
      if (both.length > 0)
        faults.push(
          `${label(plan)}: ${plan.to} overlaps bulkhead-allowed-cidrs of ${name} (${pairs(both)}); mend: make them disjoint`,
        );
    }
  }
  return faults;
}

interface CheckOptions {
  /** Certificates and files only. */
  readonly offline: boolean;
  /** Of each step. */
  readonly timeoutMs: number;
}

interface Checked {
  /** One line each, with how to mend it. */
  readonly faults: readonly string[];
  /** Cluster -> where its addresses lie; empty when they were not asked for. */
  readonly known: ReadonlyMap<string, readonly string[]>;
}

/** The cheap ones first; later ones only when those before went well. Rejects with an AccessError or a KvError when an etcd goes away meanwhile. */
export async function faultsOf(plans: readonly Plan[], { offline, timeoutMs }: CheckOptions): Promise<Checked> {
  const trust = plans.flatMap(({ sides }) => trustFault(sides.from, sides.to) ?? []);
  const disk = staged(systemDisk, stagedFiles(plans));
  const none: ReadonlyMap<string, readonly string[]> = new Map();
  if (trust.length > 0 || offline) return { faults: trust, known: none };
  const reach = await reachFaults(plans, disk, timeoutMs);
  if (reach.length > 0) return { faults: reach, known: none };
  const known = await territories(plans, disk, timeoutMs);
  return { faults: await rangeFaults(plans, known), known };
}
