/** What each verb does, from checks to tear-down. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import type { LabArguments } from "./arguments.ts";
import { checkMachine, requireCgroup2, requireRoot } from "./checks.ts";
import { sweepRemnant, takeDown } from "./down.ts";
import { startDrills } from "./drills.ts";
import { sayGuide } from "./guide.ts";
import { Lab } from "./lab.ts";
import { say, sayGood, seconds, whole } from "./output.ts";
import { openPage } from "./page.ts";
import { PAPER_ADDRESSES, PAPER_SERVICES } from "./paper.ts";
import { clusterPlan, type LabPlan, planLab } from "./plan.ts";
import { podEnvironment } from "./pods.ts";
import { argvOf, isAlive, logTail } from "./processes.ts";
import { restoreMesh } from "./restore.ts";
import { OBJECTS } from "./settings.ts";
import { STEPS } from "./tour/steps.ts";
import { takeTour } from "./tour/tour.ts";
import { bringUp, startCluster, waitForCluster } from "./up.ts";

export async function runVerb(asked: LabArguments): Promise<number> {
  requireRoot();
  const plan = planLab(asked.name, requireCgroup2());
  switch (asked.verb) {
    case "down":
      return await runDown(plan);
    case "exec":
      return await runInPod(Lab.open(plan, "up"), asked.rest);
    case "start":
      return await runStart(Lab.open(plan, "up"), asked.rest[0] ?? "");
    case "tour":
      return await runTour(Lab.open(plan, "tour"), asked.repeat);
    case "up":
      return await runUp(await claim(plan), asked);
    default:
      return await runAll(await claim(plan), asked);
  }
}

/** Takes the lab's name after all checks. From here on whatever happens must remove the lab, and before it must not touch one. */
async function claim(plan: LabPlan): Promise<Lab> {
  const { dataRoot } = checkMachine(OBJECTS);
  if (await sweepRemnant(plan)) say(`Removed what a lab ${plan.name} that was killed had left.`);
  return Lab.claim(plan, dataRoot);
}

function runUp(lab: Lab, { secure }: LabArguments): Promise<number> {
  return guarded(
    async (held) => {
      if (!held) await remove(lab);
    },
    async () => {
      await start(lab, secure);
      sayGuide(lab, await openPage(lab));
      return 0;
    },
  );
}

function runAll(lab: Lab, { secure, repeat }: LabArguments): Promise<number> {
  return guarded(
    () => remove(lab),
    async () => {
      await start(lab, secure);
      lab.enter("tour");
      return await runTours(lab, repeat);
    },
  );
}

function runTour(lab: Lab, repeat: number): Promise<number> {
  return guarded(
    async () => lab.enter("up"),
    () => runTours(lab, repeat),
  );
}

/** Time for what was just being made to fail, before it is removed too. */
const SETTLE_MS = 2_000;

/**
 * Runs the action and then `leave`, told whether the action held. An interrupt leaves at once: the action fails for want of what is
 * taken from under it, and what it still made meanwhile is removed after it. A second interrupt ends the process on the spot.
 */
async function guarded(leave: (held: boolean) => Promise<void>, action: () => Promise<number>): Promise<number> {
  const interrupted = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, resolve);
  });
  const ended = action().then(
    (code) => ({ code, error: undefined }),
    (error: unknown) => ({ code: undefined, error }),
  );
  const first = await Promise.race([ended, interrupted]);
  if (typeof first === "string") {
    say(`\nInterrupted (${first}).`);
    // What is being made while it is removed may be in the way; the second time says so.
    await leave(false).catch(() => {});
    await Promise.race([ended, sleep(systemClock, SETTLE_MS)]);
    await leave(false);
    return 128 + constants.signals[first];
  }
  await leave(first.error === undefined);
  if (first.code === undefined) throw first.error;
  return first.code;
}

async function remove(lab: Lab): Promise<void> {
  const startedMs = systemClock.nowMs();
  lab.end();
  if (await takeDown(lab.plan)) say(`Everything removed in ${seconds(systemClock.nowMs() - startedMs)}.`);
}

async function start(lab: Lab, secure: boolean): Promise<void> {
  const { clusters } = lab.plan;
  const startedMs = systemClock.nowMs();
  say(`Starting ${clusters.map(({ name }) => name).join(", ")} in network namespaces of this machine ...`);
  try {
    await bringUp(lab, secure);
    await startDrills(lab);
  } catch (error) {
    sayLogs(lab);
    throw error;
  }
  lab.enter("up");
  const nodes = clusters.flatMap((cluster) => cluster.nodes).length;
  const took = seconds(systemClock.nowMs() - startedMs);
  say(`Up in ${took}: ${clusters.length} clusters, ${nodes} nodes, ${lab.pods.length} pods with a process,`);
  const generated = `${whole(PAPER_SERVICES)} services and ${whole(PAPER_ADDRESSES)} pod IPs that are generated`;
  say(`and in each cluster ${generated} (no process behind them).`);
}

async function runTours(lab: Lab, repeat: number): Promise<number> {
  const startedMs = systemClock.nowMs();
  try {
    for (let tour = 1; tour <= repeat; tour++) {
      await restoreMesh(lab);
      if (repeat > 1) say(`\nTour ${tour} of ${repeat}`);
      await takeTour(lab, STEPS);
    }
  } catch (error) {
    sayLogs(lab);
    throw error;
  }
  sayGood(`\nThe tour held${repeat > 1 ? ` ${repeat} times` : ""}, in ${seconds(systemClock.nowMs() - startedMs)}.`);
  return 0;
}

/** The last warnings of every program, those that ended first: with the lab the logs go. */
function sayLogs(lab: Lab): void {
  const records = [...lab.processes].sort((left, right) => Number(isAlive(left)) - Number(isAlive(right)));
  for (const record of records) {
    const tail = logTail(record.log);
    if (tail !== "") say(`\n--- ${record.id}${isAlive(record) ? "" : " (not running)"}\n${tail}`);
  }
}

async function runDown(plan: LabPlan): Promise<number> {
  const found = await takeDown(plan);
  say(found ? `The lab ${plan.name} is removed.` : `Nothing of a lab ${plan.name} was there.`);
  return 0;
}

async function runStart(lab: Lab, name: string): Promise<number> {
  const known = lab.plan.clusters.map((cluster) => cluster.name);
  if (!known.includes(name)) throw new UserError(`mesh: no cluster ${name}; there are: ${known.join(" ")}`);
  const started = startCluster(lab, clusterPlan(lab.plan, name));
  say(started.length === 0 ? `Everything of ${name} runs already.` : `Started ${started.join(", ")}.`);
  for (const cluster of lab.plan.clusters) await waitForCluster(lab, cluster);
  return 0;
}

/** A command as a pod of the lab: in its network and its cgroup, with this terminal. */
function runInPod(lab: Lab, [where = "", ...argv]: readonly string[]): Promise<number> {
  const [cluster = "", name = ""] = where.split("/");
  const pod = lab.pod(cluster, name);
  const [file = "", ...args] = argvOf({ netns: pod.netns, cgroup: pod.cgroup, argv });
  const child = spawn(file, args, { stdio: "inherit", env: { ...process.env, ...podEnvironment(pod) } });
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
}
