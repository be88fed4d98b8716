/**
 * Calls services on and on, and every few seconds says who answered: a line for each, of counts by cluster.
 *   steady.ts CALLS_PER_SECOND HOST:PORT ...
 * A name is resolved for every call, so that a service may move. Calls count from the first that is answered: before it nothing is there yet.
 */
import { lookup } from "node:dns/promises";
import { every, sleep, systemClock } from "../../../src/runtime/clock.ts";
import { call } from "./call.ts";
import { byCluster, Tally } from "./jobs.ts";

const REPORT_MS = 2_000;
const RETRY_MS = 250;

const [perSecond = "20", ...services] = process.argv.slice(2);
const until = new AbortController();

async function callOnce(host: string, port: number): Promise<string> {
  const { address } = await lookup(host);
  return await call({ address, port, protocol: "tcp" });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
}

function lineOf(host: string, tally: Tally): string {
  const { calls, answers, failures, latencyMs } = tally.result(REPORT_MS / 1_000);
  const clusters = [...byCluster(answers)].sort().map(([cluster, count]) => `${cluster} ${count}`);
  const failed = Object.entries(failures).map(([code, count]) => `${code} ${count}`);
  const lost = failed.length === 0 ? "0 failed" : `failed: ${failed.join("  ")}`;
  return `${calls} calls of ${host}   ${clusters.join("  ")}   ${lost}   p50 ${latencyMs.p50.toFixed(1)} ms\n`;
}

/** Resolves with the first answer, and says meanwhile why there is none. */
async function firstAnswer(host: string, port: number): Promise<void> {
  const answered = new AbortController();
  let why = "";
  every(systemClock, REPORT_MS, AbortSignal.any([until.signal, answered.signal]), () => {
    process.stdout.write(`${host}   not answered yet: ${why}\n`);
  });
  while (!until.signal.aborted) {
    try {
      await callOnce(host, port);
      return answered.abort();
    } catch (error) {
      why = codeOf(error);
      await sleep(systemClock, RETRY_MS, until.signal);
    }
  }
}

async function callOnAndOn(host: string, port: number): Promise<void> {
  await firstAnswer(host, port);
  let tally = new Tally();
  const once = async (): Promise<void> => {
    const startedMs = systemClock.nowMs();
    try {
      tally.answered(await callOnce(host, port), systemClock.nowMs() - startedMs);
    } catch (error) {
      tally.failed(codeOf(error));
    }
  };
  every(systemClock, 1_000 / Number(perSecond), until.signal, () => void once());
  every(systemClock, REPORT_MS, until.signal, () => {
    process.stdout.write(lineOf(host, tally));
    tally = new Tally();
  });
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => until.abort());
for (const service of services) {
  const [host = "", port = "80"] = service.split(":");
  void callOnAndOn(host, Number(port));
}
