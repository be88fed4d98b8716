/** The whole mirror program over doors in memory: amsterdam mirrors osaka. Only its sockets are real. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryNats } from "../../../src/bus/memory.ts";
import { memoryDisk } from "../../../src/disk/memory.ts";
import { FaultyKv } from "../../../src/kv/faulty.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import type { MirrorStatus } from "../../../src/model/status.ts";
import { assemble } from "../../../src/programs/kvstoremesh/assemble.ts";
import { type MirrorSettings, mirrorSettings } from "../../../src/programs/kvstoremesh/settings.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { askSocket } from "../../../src/serve/ask.ts";
import { FakeCluster } from "../../mirror/fake-cluster.ts";

type Flags = Readonly<Record<string, string>>;

export function mirrorFlags(more: Flags = {}): string[] {
  const all = {
    cluster: "amsterdam",
    "cluster-id": "1",
    "etcd-config": "/etc/local.yaml",
    "config-dir": "/etc/mesh",
    "log-level": "silent",
    "api-listen": "none",
    ...more,
  };
  return Object.entries(all).flatMap(([flag, value]) => [`--${flag}`, value]);
}

export function settingsOf(more?: Flags): MirrorSettings {
  return readSettings("kvstoremesh", mirrorSettings, mirrorFlags(more));
}

export const etcdFile = (name: string): string => `endpoints:\n- http://${name}:2379\n`;

export async function until(what: string, holds: () => unknown): Promise<void> {
  for (let round = 0; !(await holds()); round++) {
    if (round === 400) throw new Error(`waited 10 s: ${what}`);
    await sleep(systemClock, 25);
  }
}

export class MirrorStage {
  readonly amsterdam = new MemoryEtcd({ clock: systemClock });
  readonly osaka = new FakeCluster("osaka", 2, systemClock);
  readonly nats = new MemoryNats(systemClock);
  /** Between the mirror and its own etcd. */
  readonly local = new FaultyKv(this.amsterdam.client(), {
    clock: systemClock,
    random: systemRandom,
    timeoutMs: 200,
  });
  readonly files = memoryDisk({ "/etc/local.yaml": etcdFile("amsterdam"), "/etc/mesh/osaka": etcdFile("osaka") });
  readonly folder = mkdtempSync(join(tmpdir(), "bulkhead-kvstoremesh-"));
  readonly socket = join(this.folder, "amsterdam/kvstoremesh.sock");
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(pods: number) {
    this.osaka.populate(pods);
    this.osaka.announce();
  }

  start(more: Flags = {}): void {
    const connect = ({ endpoints }: { readonly endpoints: readonly string[] }) =>
      endpoints[0]?.includes("osaka") ? this.osaka.etcd.client() : this.local;
    const connectors = { connect, connectBus: () => this.nats.client() };
    const doors = { clock: systemClock, random: systemRandom, disk: this.files, ...connectors };
    const settings = settingsOf({ "run-dir": this.folder, "config-interval-ms": "20", ...more });
    this.#running = assemble(settings, doors, this.#stop.signal);
    this.#running.catch(() => undefined);
  }

  async status(): Promise<MirrorStatus | undefined> {
    return (await askSocket(this.socket, "/v1/status", 1_000).catch(() => undefined)) as MirrorStatus | undefined;
  }

  /** Until osaka is in the cache and watched. */
  watching(): Promise<void> {
    return until("osaka is watched", async () => {
      const remote = (await this.status())?.remotes[0];
      return remote?.phase === "watching" && remote.grade === "fresh";
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
