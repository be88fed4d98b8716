/**
 * P5: one backend of a service of 5,000 changes. From the bytes of its value to the kernel's maps, and from the decoded service there, against JSON.parse of the
 * same value. Tables, compiler and datapath are the agent's own; the maps are real.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Datapath } from "../src/datapath/datapath.ts";
import type { LoadedObject } from "../src/kernel/door.ts";
import { createLibbpfKernel } from "../src/kernel/libbpf.ts";
import { ServiceCompiler } from "../src/lb/service-compiler.ts";
import { BACKEND_MAP } from "../src/maps/backend-map.ts";
import { LAYOUT_VERSION } from "../src/maps/layout.ts";
import { SOCK_LB_OBJECT } from "../src/maps/objects.ts";
import { SERVICE_MAP } from "../src/maps/service-map.ts";
import type { ClusterService } from "../src/model/resource.ts";
import { systemClock, type Timer } from "../src/runtime/clock.ts";
import { silentLogger } from "../src/runtime/log.ts";
import { Metrics } from "../src/runtime/metrics.ts";
import { seededRandom } from "../src/runtime/random.ts";
import { AgentTables } from "../src/tables/agent-tables.ts";
import { encodeLocalService, judgeLocalService } from "../src/wire/local-service.ts";
import { judge } from "../src/wire/resources.ts";
import { encodeService } from "../src/wire/service.ts";
import { median, printFigures } from "./goal-line.ts";
import { OWN, REMOTE } from "./mesh-data.ts";
import { BenchStage } from "./stage.ts";

const OBJECTS = fileURLToPath(new URL("../build/bpf", import.meta.url));
const BACKENDS = 5_000;
const ROUNDS = 60;
const GOAL_PARSES = 4;
const GOAL_MAP_MS = 2;
const HTTP = [{ name: "http", protocol: "TCP" as const, port: 8080 }];
const NAMED = { namespace: "shop", name: "checkout", frontends: new Map([["10.96.0.1", HTTP]]), shared: true };
const SUFFIX = "shop/checkout";

/** Of round `round`: the first backend is another one than in the round before. */
function bytesOf(round: number): Uint8Array {
  const address = (number: number): string => `10.${16 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  const backends = [BACKENDS + (round % 100), ...Array.from({ length: BACKENDS - 1 }, (_, index) => index + 1)];
  const said = { cluster: REMOTE.name, clusterId: REMOTE.id, labels: new Map(), selector: new Map() };
  return encodeService({ ...NAMED, ...said, backends: new Map(backends.map((number) => [address(number), HTTP])) });
}

function decoded(value: Uint8Array): ClusterService {
  const judged = judge("services", REMOTE, SUFFIX, value);
  assert(judged.ok);
  return judged.value as ClusterService;
}

/** A timer of 0 ms takes 1 ms and more. */
function withoutWaits(delayMs: number, action: () => void): Timer {
  if (delayMs > 0) return systemClock.after(delayMs, action);
  const immediate = setImmediate(action);
  return { cancel: () => clearImmediate(immediate) };
}

class Pipeline {
  readonly #tables = new AgentTables(OWN);
  readonly #datapath: Datapath;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;
  #agreed: () => void = () => undefined;

  constructor(object: LoadedObject) {
    const compiler = new ServiceCompiler(this.#tables);
    const tables = this.#tables;
    this.#datapath = new Datapath({
      maps: new Map([...object.maps].filter(([name]) => name === SERVICE_MAP.name || name === BACKEND_MAP.name)),
      families: new Map(),
      compilers: {
        desired: new Map([
          [SERVICE_MAP.name, compiler.entries.services],
          [BACKEND_MAP.name, compiler.entries.backends],
        ]),
        desiredFamilies: new Map(),
        adopt: () => undefined,
        released: () => undefined,
        complete: false,
        compile: () => {
          compiler.update(tables.takeChanges());
          return [];
        },
      },
      reconciled: () => this.#agreed(),
      attach: async () => ({}),
      ...{
        clock: { ...systemClock, after: withoutWaits },
        random: seededRandom(1),
        log: silentLogger,
        metrics: new Metrics(),
        signal: this.#over.signal,
      },
      // The waits of a running agent (for more changes, for programs that read) are not what is measured.
      ...{ settleMs: 0, readersMs: 0, driftIntervalMs: 3_600_000, backoff: { baseMs: 50, capMs: 500 } },
      ...{ clusterId: OWN.id, snapshots: { save: async () => true, failed: false }, snapshotIntervalMs: 3_600_000 },
    });
    tables.setClusters([OWN, REMOTE]);
    const local = judgeLocalService(
      SUFFIX,
      encodeLocalService({ ...NAMED, backends: new Map(), global: true, affinity: "none" }),
    );
    assert(local.ok);
    tables.putLocalService(local.value);
    for (const { id } of [OWN, REMOTE]) tables.setSynced(id, "services", true);
    this.#running = this.#datapath.run();
  }

  /** Resolves when the maps hold it. */
  put(service: ClusterService): Promise<void> {
    this.#tables.putClusterService(REMOTE, service);
    const done = new Promise<void>((resolve) => {
      this.#agreed = resolve;
    });
    this.#datapath.changed();
    return done;
  }

  async end(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }
}

interface Round {
  readonly parseMs: number;
  readonly decodeMs: number;
  readonly mapMs: number;
}

async function round(pipeline: Pipeline, value: Uint8Array): Promise<Round> {
  const text = new TextDecoder().decode(value);
  const fromMs = systemClock.nowMs();
  JSON.parse(text);
  const parsedMs = systemClock.nowMs();
  const service = decoded(value);
  const decodedMs = systemClock.nowMs();
  await pipeline.put(service);
  const doneMs = systemClock.nowMs();
  return { parseMs: parsedMs - fromMs, decodeMs: decodedMs - parsedMs, mapMs: doneMs - decodedMs };
}

export async function oneBackend(json: boolean): Promise<void> {
  const stage = new BenchStage();
  let object: LoadedObject | undefined;
  let pipeline: Pipeline | undefined;
  try {
    const { file, maps, enums, structs = [] } = SOCK_LB_OBJECT;
    object = await createLibbpfKernel({ clock: systemClock }).load({
      ...{ objectPath: join(OBJECTS, file), pinDirectory: stage.pins, layoutVersion: LAYOUT_VERSION },
      ...{ layouts: maps, enums, families: [], structs, rings: [] },
    });
    pipeline = new Pipeline(object);
    const rounds: Round[] = [];
    for (let number = 0; number < ROUNDS; number++) {
      const measured = await round(pipeline, bytesOf(number));
      // The first ones write all of the service, and are run by code that is not compiled yet.
      if (number >= ROUNDS / 3) rounds.push(measured);
    }
    assert.equal((await object.maps.get(BACKEND_MAP.name)?.dump())?.count, BACKENDS, "one of them went, one came");
    const parse = median(rounds.map(({ parseMs }) => parseMs));
    const whole = median(rounds.map(({ decodeMs, mapMs }) => decodeMs + mapMs));
    const map = median(rounds.map(({ mapMs }) => mapMs));
    const ratio = median(rounds.map(({ parseMs, decodeMs, mapMs }) => (decodeMs + mapMs) / parseMs));
    // The least of each says what it takes where nobody else wants the processor.
    const least = (of: (round: Round) => number): number => Math.min(...rounds.map(of));
    const beside = { backends: BACKENDS, bytes: bytesOf(0).length, floorLeastMs: least(({ parseMs }) => parseMs) };
    const shared = { unit: "ms(p50)", floor: parse };
    const bytes = { id: "P5@bytes", value: whole, ratio, goal: `ratio<=${GOAL_PARSES}`, reached: ratio <= GOAL_PARSES };
    const wholeMs = least(({ decodeMs, mapMs }) => decodeMs + mapMs);
    printFigures({ ...shared, ...bytes, beside: { ...beside, leastMs: wholeMs } }, json);
    const decodedToMap = { id: "P5@decoded", value: map, ratio: map / parse, goal: `value<=${GOAL_MAP_MS}` };
    const mapMs = least((round) => round.mapMs);
    printFigures(
      { ...shared, ...decodedToMap, reached: map <= GOAL_MAP_MS, beside: { ...beside, leastMs: mapMs } },
      json,
    );
  } finally {
    await pipeline?.end();
    object?.close();
    stage.close();
  }
}
