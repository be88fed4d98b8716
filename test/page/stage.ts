/** The page over made-up programs: their sockets and the page's door are real, what they say is written here. Osaka is in trouble. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EVENTS_PATH } from "../../src/events/read.ts";
import type { EventDraft, EventLine, MeshEvent } from "../../src/model/event.ts";
import type { AgentStatus, ExporterStatus, MirrorStatus, ProgramStatus, SetAside } from "../../src/model/status.ts";
import { collectInThread, PageFeed } from "../../src/page/feed.ts";
import { pageFiles } from "../../src/page/files.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { type Served, type ServeOptions, serve } from "../../src/serve/serve.ts";
import { followed, lost } from "../report/remote-examples.ts";
import { agent } from "../report/status-examples.ts";
import { freePort } from "../support/free-port.ts";

/** What a browser would run if any of it were taken for markup. */
export const HOSTILE = "<img src=x onerror=\"document.title='hurt'\">";

const CLUSTERS = ["amsterdam", "osaka", "virginia"] as const;
const base = { pid: 1, uptimeMs: 3_600_000 };

function exporter(cluster: string): ExporterStatus {
  const problems = cluster === "amsterdam" ? [`hello.yaml:3: a label is no label: ${HOSTILE}`] : [];
  return { ...base, program: "exporter", cluster, problems, leader: true, synced: true, queued: 0, entries: { ip: 9 } };
}

function mirror(cluster: string, told: boolean): MirrorStatus {
  const remotes = CLUSTERS.filter((name) => name !== cluster).map((name) => {
    if (name !== "osaka") return { ...followed, name };
    const hold = { kind: "ip", state: "held", keys: 1_200, withdrawals: 1_210, ageMs: 42_000 } as const;
    const holds = [{ ...hold, confirmsInMs: 558_000, example: `cilium/cache/ip/v1/osaka/${HOSTILE}` }];
    return { ...lost, name, holds, breaker: cluster === "amsterdam" ? ("open" as const) : ("half-open" as const) };
  });
  const events = { connected: true, emitted: 9, sent: 9, lost: 0, waiting: 0 };
  return {
    ...{ ...base, program: "kvstoremesh", cluster, problems: [], leader: true, queued: 0, remotes },
    ...(told && { events }),
  };
}

function node(cluster: string, number: number): AgentStatus {
  const remotes = CLUSTERS.filter((name) => name !== cluster).map((name) => {
    return { cluster: name, grade: name === "osaka" ? ("suspect" as const) : ("fresh" as const) };
  });
  const backend = (from: string, last: number) => {
    const used = from !== "osaka" || cluster === "osaka";
    const why = used ? "affinity none" : "its address is claimed by another cluster";
    return { cluster: from, address: `10.${CLUSTERS.indexOf(from as "osaka") + 1}.1.${last}:8080/TCP`, used, why };
  };
  const services = ["hello", "ledger", HOSTILE].map((name) => ({
    namespace: "demo",
    name,
    frontends: ["10.101.0.10:80/TCP", "10.101.0.10:80/UDP"],
    affinity: "none",
    global: name !== "ledger",
    backends: CLUSTERS.flatMap((from) => [backend(from, 10), backend(from, 11)]),
  }));
  const paper = Array.from({ length: 60 }, (_, index) => ({
    ...{ namespace: "paper", name: `service-${index}`, frontends: [`10.101.1.${index}:80/TCP`], affinity: "none" },
    ...{ global: false, backends: [] },
  }));
  const name = `${cluster}-${number}`;
  const peers = { controlPlane: "talking", ageMs: 900, remotes } as const;
  const well = agent(name);
  const connections = { started: 406, established: 395, refused: 0, silent: 11 };
  const health = { ...well.health, remotes: well.health.remotes.map((remote) => ({ ...remote, connections })) };
  return { ...well, cluster, peers, health, ageMs: 140 * number, services: [...services, ...paper] };
}

const setAside: readonly SetAside[] = [
  {
    remote: "osaka",
    key: `cilium/state/services/v1/osaka/demo/${HOSTILE}`,
    reason: "bad-name",
    detail: `no name: ${HOSTILE}`,
  },
  {
    remote: "osaka",
    key: "cilium/state/ip/v1/default/10.2.1.77",
    reason: "parked",
    detail: "identity 131999 is not known",
  },
];

const DRAFTS: readonly (EventDraft & { readonly cluster: string })[] = [
  { cluster: "amsterdam", kind: "restart", severity: "info", line: "kvstoremesh started", details: { pid: 7 } },
  {
    ...{ cluster: "amsterdam", kind: "breaker", remote: "osaka", severity: "error" },
    ...{ line: "breaker of osaka: open", details: { state: "open" } },
  },
  { cluster: "virginia", kind: "problem", severity: "warning", line: HOSTILE, details: {} },
  {
    ...{ cluster: "amsterdam", kind: "drill", severity: "info", line: "drill kill-remote begins" },
    details: { drill: "kill-remote", run: "1", state: "begun", hypothesis: "calls go on" },
  },
  {
    ...{ cluster: "amsterdam", kind: "drill", severity: "info", line: `drill kill-remote passed ${HOSTILE}` },
    details: {
      ...{ drill: "kill-remote", run: "1", state: "ended", verdict: "passed", hypothesis: `calls go on ${HOSTILE}` },
      ...{ tookMs: 31_400, detectMs: 612, failOverMs: 0, convergeMs: 1_840, made: 2_400, failed: 0 },
    },
  },
  {
    ...{ cluster: "virginia", kind: "drill", severity: "error", line: "drill blackhole failed: 12 of 2,400 calls did" },
    details: {
      drill: "blackhole",
      run: "2",
      state: "ended",
      verdict: "failed",
      detectMs: 3_120,
      made: 2_400,
      failed: 12,
    },
  },
];

function eventAt(draft: EventDraft & { readonly cluster: string }, at: number): MeshEvent {
  const time = new Date(systemClock.wallMs() - (DRAFTS.length - at) * 65_000).toISOString();
  return { ...draft, version: 1, id: `run-${at}`, time, program: "kvstoremesh", instance: "host", lost: 0 };
}

async function* eventLines(_query: unknown, signal: AbortSignal): AsyncGenerator<EventLine> {
  for (const [at, draft] of DRAFTS.entries()) yield { sequence: at + 1, event: eventAt(draft, at) };
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

export interface PageStageOptions {
  /** Whether a NATS is there. Default: yes. */
  readonly nats?: boolean;
  readonly maxSubscribers?: number;
}

export class PageStage {
  readonly metrics = new Metrics();
  readonly folder = mkdtempSync(join(tmpdir(), "bulkhead-page-"));
  readonly #served: Served[] = [];
  readonly #mute: Server = createServer();
  url = "";

  static async start({ nats = true, maxSubscribers = 3 }: PageStageOptions = {}): Promise<PageStage> {
    const stage = new PageStage();
    for (const cluster of CLUSTERS) {
      mkdirSync(join(stage.folder, cluster));
      await stage.#program(exporter(cluster), "exporter.sock");
      // Osaka's second agent is there, and says nothing.
      for (const number of cluster === "osaka" ? [1] : [1, 2])
        await stage.#program(node(cluster, number), `agent-${cluster}-${number}.sock`);
      if (cluster !== "amsterdam") await stage.#program(mirror(cluster, nats), "kvstoremesh.sock");
    }
    stage.#mute.on("connection", (socket) => socket.destroy());
    stage.#mute.listen(join(stage.folder, "osaka/agent-osaka-2.sock"));
    const port = await freePort();
    stage.url = `http://127.0.0.1:${port}/`;
    await stage.#page(port, nats, maxSubscribers);
    return stage;
  }

  async end(): Promise<void> {
    for (const served of this.#served) await served.close();
    await new Promise((resolve) => this.#mute.close(resolve));
    rmSync(this.folder, { recursive: true });
  }

  async #page(port: number, nats: boolean, maxSubscribers: number): Promise<void> {
    const start = collectInThread({ runDir: this.folder, cluster: "amsterdam", intervalMs: 200 });
    const feed = new PageFeed({ start, maxSubscribers, againAfterMs: 200, clock: systemClock, metrics: this.metrics });
    const feeds = new Map([["/v1/page", (signal: AbortSignal) => feed.subscribe(signal)]]);
    const streams = nats ? new Map([[EVENTS_PATH, eventLines]]) : new Map();
    const answers = new Map([["/v1/rejected", () => setAside]]);
    const api = { listen: `127.0.0.1:${port}`, answers: new Map(), files: pageFiles(), feeds };
    await this.#program(mirror("amsterdam", nats), "kvstoremesh.sock", { api, streams, answers });
  }

  async #program(status: ProgramStatus, socket: string, more: Partial<ServeOptions> = {}): Promise<void> {
    const adminSocket = join(this.folder, status.cluster, socket);
    const ready = () => ({ ready: true, detail: "" });
    this.#served.push(await serve({ status: () => status, ready, metrics: this.metrics, adminSocket, ...more }));
  }
}
