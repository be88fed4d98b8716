/** Giving a client pod its job, from the lab. */
import { connect } from "node:net";
import { systemClock } from "../../../src/runtime/clock.ts";
import { CALL_TIMEOUT_MS } from "./call.ts";
import type { Job, JobResult } from "./jobs.ts";

/** Time a job may take beyond its own length. */
const SLACK_MS = 30_000;

/** How long the job takes if every call of it times out. */
function lengthMs(job: Job): number {
  return job.kind === "stream" ? job.seconds * 1_000 : Math.ceil(job.count / job.concurrency) * CALL_TIMEOUT_MS;
}

/** Rejects when the pod is gone, does not answer, or failed as a client (which says nothing of the service). */
export function askClient(controlSocket: string, job: Job): Promise<JobResult> {
  const timeoutMs = SLACK_MS + lengthMs(job);
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(controlSocket);
    const finish = (error?: Error): void => {
      timer.cancel();
      socket.destroy();
      if (error) reject(new Error(`${controlSocket}: ${error.message}`));
    };
    const timer = systemClock.after(timeoutMs, () => finish(new Error(`no result within ${timeoutMs} ms`)));
    socket.on("connect", () => socket.write(`${JSON.stringify(job)}\n`));
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", finish);
    socket.on("end", () => {
      const answer = JSON.parse(text || '{"error":"closed without a result"}') as
        | JobResult
        | { readonly error: string };
      if ("error" in answer) return finish(new Error(answer.error));
      finish();
      resolve(answer);
    });
  });
}
