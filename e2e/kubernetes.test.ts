/**
 * Two clusters, each fed by an API server (the model behind HTTP, with tokens): real exporters, etcds, a mirror and an agent with its maps in the
 * kernel, all on the loopback. What one API server has is served in the other cluster, and stays when that API server is gone.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import type { MemoryKube } from "../src/kube/memory.ts";
import type { AgentStatus, ExporterStatus, ProgramStatus } from "../src/model/status.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { askSocket } from "../src/serve/ask.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import { KubeServer, kubeconfig } from "../test/support/kube-api.ts";
import { apply, memoryKube, pathOfKind, podBody } from "../test/support/kube-objects.ts";
import { BULKHEAD, launch, plan, run } from "./mesh.ts";
import { until } from "./mirror/stage.ts";

const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: {name: billing, labels: {kubernetes.io/metadata.name: billing}}
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: billing, annotations: {service.cilium.io/global: "true"}}
spec: {clusterIP: 10.140.9.3, clusterIPs: [10.140.9.3], externalIPs: [203.0.113.9], selector: {app: ledger}, ports: [{name: http, port: 80, targetPort: web}]}
`;

function node(name: string, address: string, podCidr: string): string {
  return `
apiVersion: v1
kind: Node
metadata: {name: ${name}}
spec: {podCIDRs: [${podCidr}]}
status: {addresses: [{type: InternalIP, address: ${address}}]}
`;
}

function slice(addresses: readonly string[]): string {
  const endpoints = addresses.map((address) => `{addresses: [${address}], conditions: {ready: true}}`);
  return `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ledger-x7k2p, namespace: billing, labels: {kubernetes.io/service-name: ledger}}
addressType: IPv4
endpoints: [${endpoints.join(", ")}]
ports: [{name: http, port: 8080, protocol: TCP}]
`;
}

class Cluster {
  readonly name: string;
  readonly id: number;
  readonly kube: MemoryKube = memoryKube();
  readonly server = new KubeServer({ kube: this.kube, token: "exporter-of-the-test" });
  readonly etcd: TestEtcd;
  readonly #folder: string;
  #url = "";

  constructor(name: string, id: number, etcd: TestEtcd) {
    this.name = name;
    this.id = id;
    this.etcd = etcd;
    this.#folder = join(folder, name);
  }

  async start(objects: string): Promise<void> {
    apply(this.kube, objects);
    mkdirSync(join(this.#folder, "remotes"), { recursive: true });
    writeFileSync(join(this.#folder, "etcd.yaml"), this.etcdFile());
    this.#url = await this.server.start();
    writeFileSync(join(this.#folder, "kubeconfig"), kubeconfig(this.#url, { token: "exporter-of-the-test" }));
    const kube = ["--kube-mode", "native", "--kube-config", join(this.#folder, "kubeconfig")];
    this.program("exporter", [...kube, "--lease-ttl-seconds", "2", "--backoff-cap-ms", "1000"]);
  }

  /** After `server.stop()`, where it was. */
  async revive(): Promise<void> {
    await this.server.start(Number(new URL(this.#url).port));
  }

  etcdFile(): string {
    return `endpoints: ["${this.etcd.endpoint}"]\n`;
  }

  program(name: string, flags: readonly string[]): void {
    const own = ["--cluster", this.name, "--cluster-id", String(this.id), "--run-dir", join(folder, "run")];
    const etcd = ["--etcd-config", join(this.#folder, "etcd.yaml"), "--log-level", "warn"];
    const child = launch(BULKHEAD, [name, ...own, ...etcd, ...flags]);
    const remember = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-20_000);
    };
    child.stdout?.on("data", remember);
    child.stderr?.on("data", remember);
    children.push(child);
  }

  async status<S extends ProgramStatus>(program: string): Promise<S | undefined> {
    const socket = join(folder, "run", this.name, `${program}.sock`);
    return (await askSocket(socket, "/v1/status", 2_000).catch(() => undefined)) as S | undefined;
  }

  remotes(other: Cluster): readonly string[] {
    const remotes = join(this.#folder, "remotes");
    writeFileSync(join(remotes, other.name), other.etcdFile());
    return ["--config-dir", remotes, "--api-listen", "none"];
  }
}

let folder = "";
let output = "";
let cgroup = "";
let amsterdam: Cluster;
let osaka: Cluster;
const children: ChildProcess[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-e2e-kube-"));
  cgroup = join(dirname(plan("x").cgroup), `bulkhead-e2e-kube-${process.pid}`);
  mkdirSync(cgroup);
  mkdirSync(join(folder, "bpf"));
  execFileSync("mount", ["-t", "bpf", "bulkhead-e2e-kube", join(folder, "bpf")]);
  amsterdam = new Cluster("amsterdam", 1, await TestEtcd.start());
  osaka = new Cluster("osaka", 2, await TestEtcd.start());
  await amsterdam.start([OBJECTS, node("ams-1", "192.0.2.11", "10.76.1.0/24")].join("---"));
  osaka.kube.put(pathOfKind("Pod"), podBody("ledger-a", "10.77.3.81"));
  await osaka.start([OBJECTS, node("osk-w1", "192.0.2.14", "10.77.3.0/24"), slice(["10.77.3.81"])].join("---"));
  // A mirror that finds an etcd with nothing in it waits before it looks again.
  for (const cluster of [amsterdam, osaka]) {
    await until(`${cluster.name} is exported`, async () => (await cluster.status<ExporterStatus>("exporter"))?.synced);
  }
  const quick = [
    "--backoff-cap-ms",
    "1000",
    "--config-interval-ms",
    "100",
    "--progress-interval-ms",
    "200",
    "--lease-ttl-seconds",
    "2",
  ];
  amsterdam.program("kvstoremesh", [...amsterdam.remotes(osaka), ...quick]);
  // No device of this host has such a name: the agent is here for its maps.
  const place = ["--node", "ams-1", "--cgroup", cgroup, "--bpf-dir", join(folder, "bpf/ams-1")];
  amsterdam.program("agent", [...place, "--endpoint-devices", "none-of-them", "--progress-interval-ms", "200"]);
});

after(async () => {
  for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
  for (const cluster of [amsterdam, osaka]) {
    await cluster?.server.stop().catch(() => undefined);
    await cluster?.etcd.end();
  }
  execFileSync("umount", [join(folder, "bpf")]);
  rmdirSync(cgroup);
  rmSync(folder, { recursive: true });
});

/** Addresses of osaka's backends that amsterdam's agent uses for the service. */
async function served(): Promise<readonly string[]> {
  const agent = await amsterdam.status<AgentStatus>("agent-ams-1");
  const service = agent?.services.find(({ namespace, name }) => namespace === "billing" && name === "ledger");
  const used = service?.backends.filter(({ cluster, used }) => cluster === "osaka" && used) ?? [];
  return used.map(({ address }) => address.replace(/:8080\/TCP$/, "")).sort();
}

async function serves(addresses: readonly string[]): Promise<void> {
  const same = async (): Promise<true | undefined> => {
    return JSON.stringify(await served()) === JSON.stringify(addresses) ? true : undefined;
  };
  await until(`amsterdam serves ${addresses.join() || "nothing"}`, same, 40_000).catch((error: unknown) => {
    throw new Error(`${error}\n${output}`);
  });
}

test("a service and its pods of osaka's API server are served in amsterdam, with their identity", async () => {
  await serves(["10.77.3.81"]);
  const agent = await amsterdam.status<AgentStatus>("agent-ams-1");
  assert.deepEqual(
    agent?.services[0]?.frontends,
    ["10.140.9.3:80/TCP", "203.0.113.9:80/TCP"],
    "at the external address, too",
  );
  const kv = amsterdam.etcd.connect();
  const { kvs } = await kv.range({ key: "cilium/cache/ip/v1/osaka/10.77.3.81" });
  kv.close();
  assert.equal(JSON.parse(new TextDecoder().decode(kvs[0]?.value)).K8sPodName, "ledger-a");
  for (const cluster of [amsterdam, osaka]) {
    const { problems, kinds = [] } = (await cluster.status<ExporterStatus>("exporter")) ?? { problems: ["no answer"] };
    assert.deepEqual(problems, [], cluster.name);
    assert.ok(kinds.length > 0 && kinds.every(({ listed }) => listed));
  }
  const { out } = await run(BULKHEAD, ["exports", "--run-dir", join(folder, "run")]);
  assert.match(
    out,
    /^osaka\n {2}leader, should be in its etcd: 1 nodes, 1 identities, .*\n {2}KIND .*\n(.*\n)* {2}Pod +1 +0 /m,
  );
});

test("what comes and goes there comes and goes here", async () => {
  osaka.kube.put(pathOfKind("Pod"), podBody("ledger-b", "10.77.3.82"));
  apply(osaka.kube, slice(["10.77.3.81", "10.77.3.82"]));
  await serves(["10.77.3.81", "10.77.3.82"]);
  osaka.kube.remove(pathOfKind("Pod"), "billing/ledger-a");
  apply(osaka.kube, slice(["10.77.3.82"]));
  await serves(["10.77.3.82"]);
});

test("osaka's API server is gone: nothing is withdrawn; what changed meanwhile is found when it is back", async () => {
  await osaka.server.stop();
  osaka.kube.remove(pathOfKind("EndpointSlice"), "billing/ledger-x7k2p");
  osaka.kube.remove(pathOfKind("Pod"), "billing/ledger-b");
  osaka.kube.compact();
  const fault = await until("the exporter says so", async () => {
    const { problems = [] } = (await osaka.status<ExporterStatus>("exporter")) ?? {};
    return problems.find((problem) => /^Kubernetes: pods: .*ECONNREFUSED.*what is known stays$/.test(problem));
  });
  assert.ok(fault);
  const kv = osaka.etcd.connect();
  const count = async (): Promise<number> =>
    (await kv.range({ key: "cilium/state/", rangeEnd: "cilium/state0" })).kvs.length;
  const before = await count();
  await sleep(systemClock, 3_000);
  assert.equal(await count(), before);
  assert.deepEqual(await served(), ["10.77.3.82"]);
  await osaka.revive();
  await serves([]);
  kv.close();
});
