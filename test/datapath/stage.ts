/** Tables, compilers and a datapath over a kernel in memory that outlives them, on a virtual clock. */
import { type Compilers, Datapath, type Held } from "../../src/datapath/datapath.ts";
import { IpcacheCompiler } from "../../src/ipcache/ipcache-compiler.ts";
import type { Kernel, KernelMap } from "../../src/kernel/door.ts";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import { BACKEND_MAP } from "../../src/maps/backend-map.ts";
import { CONNTRACK_MAP } from "../../src/maps/conntrack-map.ts";
import { IPCACHE_MAP } from "../../src/maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../../src/maps/layout.ts";
import { REVERSE_NAT_MAP } from "../../src/maps/reverse-nat-map.ts";
import { SERVICE_MAP } from "../../src/maps/service-map.ts";
import type { MapLayout } from "../../src/model/layout.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import { entryKey } from "../../src/tables/desired-map.ts";
import { readFrontends } from "../lb/entries.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { OWN } from "../tables/world.ts";

const LAYOUTS: readonly MapLayout[] = [SERVICE_MAP, BACKEND_MAP, IPCACHE_MAP, REVERSE_NAT_MAP, CONNTRACK_MAP];

export type KernelMaps = ReadonlyMap<string, KernelMap>;

export async function pinnedMaps(
  kernel: Kernel,
  maxEntries: Readonly<Record<string, number>> = {},
): Promise<KernelMaps> {
  const request = {
    objectPath: "o",
    pinDirectory: "/bpf",
    layoutVersion: LAYOUT_VERSION,
    layouts: LAYOUTS,
    maxEntries,
  };
  return (await kernel.load(request)).maps;
}

async function entriesOf(map: KernelMap | undefined): Promise<[string, Uint8Array][]> {
  const { count, keys, values } = (await map?.dump()) ?? { count: 0, keys: new Uint8Array(), values: new Uint8Array() };
  const { keySize, valueSize } = map ?? { keySize: 0, valueSize: 0 };
  return Array.from({ length: count }, (_, index) => [
    entryKey(keys.subarray(index * keySize, (index + 1) * keySize)),
    values.slice(index * valueSize, (index + 1) * valueSize),
  ]);
}

/** What the kernel translates now; fails when some slot leads nowhere. */
export async function translations(maps: KernelMaps, exact = true): Promise<Map<string, readonly string[]>> {
  const [services, backends] = await Promise.all(
    [SERVICE_MAP, BACKEND_MAP].map(({ name }) => entriesOf(maps.get(name))),
  );
  return readFrontends(services ?? [], backends ?? [], exact);
}

export async function ipcacheOf(maps: KernelMaps): Promise<[string, Uint8Array][]> {
  return (await entriesOf(maps.get(IPCACHE_MAP.name))).sort(([left], [right]) => (left < right ? -1 : 1));
}

function compilersOf(tables: AgentTables): Compilers {
  const services = new ServiceCompiler(tables);
  const ipcache = new IpcacheCompiler(tables);
  return {
    desired: new Map([
      [SERVICE_MAP.name, services.entries.services],
      [BACKEND_MAP.name, services.entries.backends],
      [IPCACHE_MAP.name, ipcache.entries],
    ]),
    desiredFamilies: new Map(),
    adopt({ maps }: Held) {
      services.adopt(maps.get(SERVICE_MAP.name) ?? [], maps.get(BACKEND_MAP.name) ?? []);
      ipcache.adopt(maps.get(IPCACHE_MAP.name) ?? []);
    },
    released: () => {},
    get complete() {
      return tables.isSynced("services", tables.own.id);
    },
    *compile() {
      const changes = tables.takeChanges();
      services.update(changes);
      yield* ipcache.update(changes);
    },
  };
}

export interface Stage {
  readonly clock: VirtualClock;
  readonly datapath: Datapath;
  readonly attached: readonly number[];
  /** Lets everything that is due happen. */
  run(durationMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** An agent's lower half, started. Rejects when taking over the maps fails. */
export async function stage(maps: KernelMaps, tables: AgentTables): Promise<Stage> {
  const clock = new VirtualClock();
  const over = new AbortController();
  const attached: number[] = [];
  const datapath = new Datapath({
    maps,
    families: new Map(),
    compilers: compilersOf(tables),
    attach: async () => {
      attached.push(clock.nowMs());
      return {};
    },
    clock,
    random: seededRandom(1),
    log: silentLogger,
    metrics: new Metrics(),
    signal: over.signal,
    settleMs: 5,
    readersMs: 10,
    driftIntervalMs: 30_000,
    clusterId: OWN.id,
    snapshots: { save: async () => true, failed: false },
    snapshotIntervalMs: 30_000,
    backoff: { baseMs: 100, capMs: 1_000 },
  });
  await datapath.adopt();
  const running = datapath.run();
  return {
    clock,
    datapath,
    attached,
    run: (durationMs = 100) => clock.advance(durationMs),
    async stop() {
      over.abort();
      await clock.settle(running);
    },
  };
}
