/** A pod that calls services when told to on its control socket (a unix socket, so it works from outside its network). */
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { call } from "./call.ts";
import { type Job, type JobResult, Tally, type Target } from "./jobs.ts";

async function counted(target: Target, tally: Tally): Promise<void> {
  const startedMs = systemClock.nowMs();
  try {
    const who = await call(target);
    tally.answered(who, systemClock.nowMs() - startedMs);
  } catch (error) {
    tally.failed(error instanceof Error ? error.message : String(error));
  }
}

async function burst(job: Extract<Job, { kind: "burst" }>, tally: Tally): Promise<void> {
  let left = job.count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await counted(job.target, tally);
  };
  await Promise.all(Array.from({ length: job.concurrency }, worker));
}

async function stream(job: Extract<Job, { kind: "stream" }>, tally: Tally): Promise<void> {
  const startedMs = systemClock.nowMs();
  const total = Math.round(job.perSecond * job.seconds);
  const calls: Promise<void>[] = [];
  while (calls.length < total) {
    const elapsedMs = systemClock.nowMs() - startedMs;
    // No call is started after the end: a machine too slow for the pace shows as too few calls.
    if (elapsedMs > job.seconds * 1_000) break;
    const due = Math.min(total, Math.ceil((elapsedMs / 1_000) * job.perSecond));
    while (calls.length < due) calls.push(counted(job.target, tally));
    await sleep(systemClock, 1);
  }
  await Promise.all(calls);
}

async function run(job: Job): Promise<JobResult> {
  const tally = new Tally();
  const startedMs = systemClock.nowMs();
  if (job.kind === "burst") await burst(job, tally);
  else await stream(job, tally);
  return tally.result((systemClock.nowMs() - startedMs) / 1_000);
}

function serve(socket: Socket): void {
  socket.on("error", () => socket.destroy());
  createInterface({ input: socket }).on("line", (line) => {
    run(JSON.parse(line) as Job).then(
      (result) => socket.end(`${JSON.stringify(result)}\n`),
      (error: unknown) => socket.end(`${JSON.stringify({ error: String(error) })}\n`),
    );
  });
}

const controlSocket = process.env["CONTROL_SOCKET"] ?? "";
rmSync(controlSocket, { force: true });
createServer(serve).listen(controlSocket);
