/** drilld over its doors: an allow-list and a journal on disk, hands on this machine, an admin socket. */
import { hostname } from "node:os";
import { join } from "node:path";
import { openNats } from "../../access/nats.ts";
import type { ConnectBus } from "../../bus/client.ts";
import type { Disk } from "../../disk/door.ts";
import type { ConnectControl } from "../../docker/control.ts";
import { type AllowList, namesContainers, readAllowList } from "../../drill/allow-list.ts";
import { Containers, handsOf } from "../../drill/containers.ts";
import { Executor } from "../../drill/executor.ts";
import type { Hands } from "../../drill/hands.ts";
import { Journal } from "../../drill/journal.ts";
import type { HostOperation } from "../../drill/operations.ts";
import { type ProbeSource, probeFrom } from "../../drill/probe-process.ts";
import { type DrillNote, drillNote, eventOf } from "../../drill/told.ts";
import { EVENTS_PATH } from "../../events/read.ts";
import { Telling } from "../../events/telling.ts";
import { DRILLS_PATH, type DrillReport, FAULTS, FAULTS_PATH, PROBE_PATH, UNDO_PATH } from "../../model/drill.ts";
import type { DrilldStatus } from "../../model/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import { createLogger } from "../../runtime/log.ts";
import { Metrics } from "../../runtime/metrics.ts";
import type { Random } from "../../runtime/random.ts";
import { flag, formed, maybe, parseAs, record, text, wholeFrom, word } from "../../runtime/schema.ts";
import { UserError } from "../../runtime/user-error.ts";
import type { Stream } from "../../serve/routes.ts";
import { type ServeOptions, serve } from "../../serve/serve.ts";
import type { DrilldSettings } from "./settings.ts";

export interface DrilldDoors {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly connectBus: ConnectBus;
  readonly docker: ConnectControl;
  readonly hands: Hands<HostOperation>;
}

const RUN = /^[a-z0-9-]{1,60}$/;
const runName = formed((given) => (RUN.test(given) ? given : undefined), "must be a run: a-z, 0-9 and '-', at most 60");
const MAX_UNDO_MS = 86_400_000;
const faultRequest = record({
  run: runName,
  fault: word(...FAULTS),
  target: text,
  undoAfterMs: wholeFrom(1, MAX_UNDO_MS),
  overMs: maybe(wholeFrom(1, MAX_UNDO_MS)),
  dryRun: flag,
});
const undoRequest = record({ run: runName });

/** Reports that are kept, in memory. */
const MOST_REPORTS = 50;

/** Runs until the signal aborts; then nothing of its doing lasts. Bad input is a UserError before anything was changed. */
export async function runDrilld(settings: DrilldSettings, doors: DrilldDoors, signal: AbortSignal): Promise<void> {
  const { clock, random, disk } = doors;
  const { cluster, stateDir: folder, maxFaultMs } = settings;
  const source = await probeSource(settings, doors);
  const { allowList, containers } = source;
  const hands = handsOf(doors.hands, containers);
  const emitter = { cluster, program: "drilld", instance: hostname() };
  const bus = await openNats({ disk, connect: doors.connectBus }, settings, emitter);
  const journal = await Journal.open(disk, folder);
  const metrics = new Metrics();
  const log = createLogger({ program: "drilld", cluster, level: settings.logLevel });
  const executor = new Executor({ allowList, journal, hands, clock, log, folder, maxFaultMs });
  const telling = new Telling({ bus, emitter, settings, clock, random, log, metrics });
  const status = statusOf({ cluster, allowList, executor, startMs: clock.nowMs(), clock });
  const served = await serve({
    status: () => ({ ...status(), ...telling.status() }),
    ready: () => ({ ready: true, detail: "listens" }),
    metrics,
    adminSocket: join(settings.runDir, cluster, "drilld.sock"),
    listen: settings.listen,
    ...routes(executor, telling, source),
  });
  telling.start(status, signal);
  try {
    // What cannot be undone now is tried again, over and over, and is in the status.
    await executor.recover().catch(() => undefined);
    await ended(signal);
  } finally {
    await executor.close();
    await served.close();
  }
}

/** @throws UserError when the allow-list cannot be read, or names containers of no engine. */
async function probeSource(settings: DrilldSettings, { clock, disk, docker }: DrilldDoors): Promise<ProbeSource> {
  const { allowList: file, dockerSocket } = settings;
  const allowList = await readAllowList(disk, file);
  if (dockerSocket !== undefined) return { allowList, containers: new Containers(docker(dockerSocket), clock) };
  if (namesContainers(allowList)) throw new UserError(`--allow-list ${file} names containers; give --docker-socket`);
  return { allowList, containers: undefined };
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

interface StatusParts {
  readonly cluster: string;
  readonly allowList: AllowList;
  readonly executor: Executor;
  readonly startMs: number;
  readonly clock: Clock;
}

function statusOf({ cluster, allowList, executor, startMs, clock }: StatusParts): () => DrilldStatus {
  const targets = Object.fromEntries(allowList.targets.map(({ name, faults }) => [name, faults]));
  const places = allowList.probes.map(({ name }) => name);
  return () => ({
    ...{ program: "drilld", cluster, pid: process.pid, uptimeMs: Math.round(clock.nowMs() - startMs), targets, places },
    lasting: executor.lasting,
    problems: executor.problems,
  });
}

function routes(
  executor: Executor,
  telling: Telling,
  source: ProbeSource,
): Pick<ServeOptions, "answers" | "streams" | "actions"> {
  const reports: DrillReport[] = [];
  return {
    answers: new Map([[DRILLS_PATH, () => reports]]),
    streams: new Map<string, Stream>([
      [EVENTS_PATH, (query, asking) => telling.lines(query, asking)],
      [PROBE_PATH, (query, asking) => probeFrom(source, query, asking)],
    ]),
    actions: new Map([
      [FAULTS_PATH, (body) => executor.begin(parseAs(faultRequest, body, "body"))],
      [UNDO_PATH, (body) => executor.undo(parseAs(undoRequest, body, "body").run)],
      [DRILLS_PATH, (body) => note(reports, telling, parseAs(drillNote, body, "body") as DrillNote)],
    ]),
  };
}

function note(reports: DrillReport[], telling: Telling, told: DrillNote): void {
  if (told.ended !== undefined) reports.push(told.ended);
  reports.splice(0, reports.length - MOST_REPORTS);
  const event = eventOf(told);
  if (event !== undefined) telling.emit(event);
}
