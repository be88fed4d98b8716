/**
 * Calls a service on and on, and every few seconds says who answered: one line of counts by cluster.
 *   steady.ts HOST PORT CALLS_PER_SECOND
 * The name is resolved for every call, so that a service may move.
 */
import { lookup } from "node:dns/promises";
import { every, sleep, systemClock } from "../../../src/runtime/clock.ts";
import { call } from "./call.ts";
import { byCluster, Tally } from "./jobs.ts";

const REPORT_MS = 2_000;

const [host = "", port = "80", perSecond = "20"] = process.argv.slice(2);
const until = new AbortController();
let tally = new Tally();

async function once(): Promise<void> {
  const startedMs = systemClock.nowMs();
  try {
    const { address } = await lookup(host);
    const who = await call({ address, port: Number(port), protocol: "tcp" });
    tally.answered(who, systemClock.nowMs() - startedMs);
  } catch (error) {
    tally.failed((error as NodeJS.ErrnoException).code ?? (error as Error).message);
  }
}

function report(): void {
  const { calls, answers, failures, latencyMs } = tally.result(REPORT_MS / 1_000);
  tally = new Tally();
  const clusters = [...byCluster(answers)].sort().map(([cluster, count]) => `${cluster} ${count}`);
  const failed = Object.entries(failures).map(([code, count]) => `${code} ${count}`);
  const lost = failed.length === 0 ? "0 failed" : `failed: ${failed.join("  ")}`;
  process.stdout.write(
    `${calls} calls of ${host}   ${clusters.join("  ")}   ${lost}   p50 ${latencyMs.p50.toFixed(1)} ms\n`,
  );
}

/** A name that nobody knows yet is no failed call: nothing is called before it is known. */
async function known(): Promise<void> {
  const found = await lookup(host).catch(() => undefined);
  if (found !== undefined || until.signal.aborted) return;
  await sleep(systemClock, 500, until.signal);
  await known();
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => until.abort());
await known();
every(systemClock, 1_000 / Number(perSecond), until.signal, () => void once());
every(systemClock, REPORT_MS, until.signal, report);
