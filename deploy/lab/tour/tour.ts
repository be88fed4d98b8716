/** The tour: six steps over one running lab. Each makes real connections, prints figures and fails when its expectation does not hold. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../src/runtime/clock.ts";
import type { Lab } from "../lab.ts";
import { inputPod, parseInput, readInput } from "../manifests.ts";
import { sayFigure, sayStep, seconds } from "../output.ts";
import { type ClusterPlan, clusterPlan } from "../plan.ts";
import { askClient } from "../workload/ask.ts";
import type { Job, JobResult, Target } from "../workload/jobs.ts";
import { TourDrill } from "./drill.ts";

/** What the steps share. */
export interface Tour {
  readonly lab: Lab;
  readonly amsterdam: ClusterPlan;
  readonly osaka: ClusterPlan;
  readonly virginia: ClusterPlan;
  /** Those that were begun, by file: one step may begin what another ends. */
  readonly drills: Map<string, TourDrill>;
}

export interface Step {
  readonly title: string;
  run(tour: Tour): Promise<void>;
}

export function newTour(lab: Lab): Tour {
  const cluster = (name: string): ClusterPlan => clusterPlan(lab.plan, name);
  return {
    lab,
    amsterdam: cluster("amsterdam"),
    osaka: cluster("osaka"),
    virginia: cluster("virginia"),
    drills: new Map(),
  };
}

export async function takeTour(lab: Lab, steps: readonly Step[]): Promise<void> {
  const tour = newTour(lab);
  try {
    for (const [index, step] of steps.entries()) {
      const startedMs = systemClock.nowMs();
      sayStep(index + 1, step.title);
      await step.run(tour);
      sayFigure("", `as expected, in ${seconds(systemClock.nowMs() - startedMs)}`);
    }
  } finally {
    for (const drill of tour.drills.values()) await drill.abandon();
  }
}

export function beginDrill({ lab, drills }: Tour, name: string): TourDrill {
  const drill = new TourDrill(lab.plan.runDirectory, name);
  drills.set(name, drill);
  return drill;
}

export function begunDrill({ drills }: Tour, name: string): TourDrill {
  const drill = drills.get(name);
  if (drill === undefined) throw new RangeError(`no step began the drill ${name}`);
  return drill;
}

/** The address of a service in a cluster, as its manifest says it. */
export function serviceTarget(
  cluster: string,
  service: string,
  family: "v4" | "v6",
  protocol: "tcp" | "udp" = "tcp",
): Target {
  const object = readInput(cluster).find((candidate) => candidate.kind === "Service" && candidate.name === service);
  const spec = object?.body["spec"] as { readonly clusterIPs: readonly string[] } | undefined;
  const address = spec?.clusterIPs[family === "v4" ? 0 : 1];
  if (address === undefined) throw new RangeError(`${cluster} has no service ${service}`);
  return { address, port: 80, protocol };
}

/** Calls made by a client pod of a cluster. */
export function calls(tour: Tour, cluster: ClusterPlan, job: Job, pod = "client"): Promise<JobResult> {
  return askClient(tour.lab.pod(cluster.name, pod).controlSocket, job);
}

const CONCURRENCY = 8;

export function burst(
  tour: Tour,
  cluster: ClusterPlan,
  target: Target,
  count: number,
  pod?: string,
): Promise<JobResult> {
  return calls(tour, cluster, { kind: "burst", target, count, concurrency: CONCURRENCY }, pod);
}

/** Above what a valid run needs, so that a slow second does not spoil it. */
const STREAM = { perSecond: 250, seconds: 21 } as const;

export function stream(tour: Tour, cluster: ClusterPlan): Promise<JobResult> {
  return calls(tour, cluster, { kind: "stream", target: serviceTarget(cluster.name, "hello", "v4"), ...STREAM });
}

/** The pod that Osaka comes back with. */
export function readLatePod(): ReturnType<typeof inputPod> {
  const file = fileURLToPath(new URL("hello-3.yaml", import.meta.url));
  const [object] = parseInput(file, readFileSync(file, "utf8"));
  if (object === undefined) throw new RangeError(`${file} holds no pod`);
  return inputPod(object);
}
