/** The thread in which the page's data are collected: however much there is to read, the mirror's own loop does not wait for it. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { Collector, type CollectorOptions } from "./collector.ts";

const given = workerData as Pick<CollectorOptions, "runDir" | "cluster" | "intervalMs">;
const collector = new Collector({ ...given, clock: systemClock, random: systemRandom });
// The thread is ended from outside.
await collector.run((frame) => parentPort?.postMessage(frame), new AbortController().signal);
