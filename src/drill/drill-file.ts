/** A drill as a person writes it: YAML, one document, checked before anything is touched. */
import { clusterNameFault } from "../model/cluster.ts";
import { type Drill, FAULTS, SIGNS } from "../model/drill.ts";
import {
  flag,
  formed,
  judgeAs,
  listOf,
  maybe,
  otherwise,
  record,
  type Schema,
  wholeFrom,
  word,
} from "../runtime/schema.ts";
import { UserError } from "../runtime/user-error.ts";
import type { Tree } from "../wire/json.ts";
import { Refusal } from "../wire/refusal.ts";
import { readYaml } from "../wire/yaml.ts";

const MAX_FOR_MS = 3_600_000;
const MAX_RATE = 1_000;
const MAX_CONNECTIONS = 1_000_000;
const MAX_STEPS = 20;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

function readDuration(given: string): number | undefined {
  const [, count, unit = ""] = /^(\d{1,6})(ms|s|m)$/.exec(given) ?? [];
  const durationMs = Number(count) * (UNITS[unit] ?? Number.NaN);
  return durationMs >= 1 && durationMs <= MAX_FOR_MS ? durationMs : undefined;
}

const duration = formed(readDuration, "must be a duration up to an hour, such as 500ms, 10s or 2m");
/** Names of drills, targets and places: harmless in paths, commands and lines. */
export const plainName = formed(
  (given) => (/^[a-z][a-z0-9-]{0,39}$/.test(given) ? given : undefined),
  "must be lower-case letters, digits and '-', at most 40, a letter first",
);
const clusterName = formed(
  (given) => (clusterNameFault(given) === undefined ? given : undefined),
  "must be the name of a cluster, such as osaka",
);
const place = formed((given) => {
  const [, cluster = "", name = ""] = /^([^/]+)\/([a-z][a-z0-9-]{0,39})$/.exec(given) ?? [];
  return clusterNameFault(cluster) === undefined ? { cluster, name } : undefined;
}, "must be CLUSTER/PLACE, such as amsterdam/client");
const service = formed(
  (given) => (/^[a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253}$/.test(given) ? given : undefined),
  "must be NAMESPACE/NAME, such as demo/hello",
);
const line = formed(
  (given) => (/^[\x20-\x7e]{1,200}$/.test(given) ? given : undefined),
  "must be one line of at most 200 plain characters",
);

const connections = wholeFrom(0, MAX_CONNECTIONS);

const schema = record({
  version: wholeFrom(1, 1),
  name: plainName,
  hypothesis: line,
  cluster: clusterName,
  despite: maybe(clusterName),
  probe: record({ from: place, service, rate: wholeFrom(1, MAX_RATE) }),
  steps: listOf(record({ fault: word(...FAULTS), target: plainName, for: duration, over: maybe(duration) })),
  guards: record({ failedConnections: connections }),
  expect: record({
    detect: maybe(record({ sign: word(...SIGNS), within: duration })),
    failedConnections: otherwise(connections, 0),
    failOverWithin: maybe(duration),
    entriesKept: otherwise(flag, true),
    convergeWithin: duration,
  }),
});

/** @throws UserError of one line: file, line, what is wrong and how to mend it. */
export function parseDrill(file: string, content: string): Drill {
  const drill = readYamlAs(schema, file, content);
  const { name, hypothesis, cluster, despite, probe, steps, expect } = drill;
  if (steps.length < 1 || steps.length > MAX_STEPS) {
    throw new UserError(`${file}: steps: has ${steps.length}; give 1 to ${MAX_STEPS} of them`);
  }
  if (despite === cluster) throw new UserError(`${file}: despite: ${cluster} is what the faults happen to; remove it`);
  for (const [index, { fault, over }] of steps.entries()) {
    if (over === undefined || fault === "drain") continue;
    throw new UserError(`${file}: steps[${index}].over: only a drain takes its time; remove it`);
  }
  const wholeMs = steps.reduce((sum, step) => sum + step.for, 0);
  return {
    ...{ name, hypothesis, cluster },
    ...(despite !== undefined && { despite }),
    probe: { cluster: probe.from.cluster, place: probe.from.name, service: probe.service, rate: probe.rate },
    steps: steps.map(({ fault, target, for: forMs, over: overMs }) => ({
      ...{ fault, target, forMs },
      ...(overMs !== undefined && { overMs }),
    })),
    maxFailed: drill.guards.failedConnections,
    expect: {
      ...(expect.detect && { detect: { sign: expect.detect.sign, withinMs: expect.detect.within } }),
      failed: expect.failedConnections,
      failOverWithinMs: expect.failOverWithin ?? wholeMs,
      entriesKept: expect.entriesKept,
      convergeWithinMs: expect.convergeWithin,
    },
  };
}

/** @throws UserError of one line. */
export function readYamlAs<T>(schema: Schema<T>, file: string, content: string): T {
  const read = readYaml({ file, text: content, firstLine: 1 }, (tree) => {
    const judged = judgeAs(schema, plain(tree));
    if ("value" in judged) return judged.value;
    throw new Refusal("malformed", judged.fault, judged.path);
  });
  if (read.ok) return read.value;
  throw new UserError(read.line);
}

function plain(tree: Tree): unknown {
  if (tree instanceof Map) {
    return Object.fromEntries([...(tree as ReadonlyMap<string, Tree>)].map(([name, value]) => [name, plain(value)]));
  }
  return Array.isArray(tree) ? (tree as readonly Tree[]).map(plain) : tree;
}
