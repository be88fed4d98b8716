/**
 * A cluster that runs Cilium, as its API server says it (the model behind HTTP): a real exporter with its etcd, and a real mirror of another
 * cluster. What Cilium batched into slices and what is exported by the MCS-API arrives as Cilium's programs expect it, and what cannot be
 * published is told at the object.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TestEtcd } from "../test/support/etcd.ts";
import { KubeServer, kubeconfig } from "../test/support/kube-api.ts";
import { apply, EVENTS, memoryKube } from "../test/support/kube-objects.ts";
import { BULKHEAD, launch } from "./mesh.ts";
import { until } from "./mirror/stage.ts";

const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: {name: billing}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: osk-w1}
spec: {addresses: [{type: InternalIP, ip: 192.0.2.14}], ipam: {podCIDRs: [10.77.3.0/24]}}
---
apiVersion: cilium.io/v2
kind: CiliumIdentity
metadata: {name: "132000"}
security-labels: {"k8s:app": ledger, "k8s:io.cilium.k8s.policy.cluster": osaka, "k8s:io.kubernetes.pod.namespace": billing}
---
apiVersion: cilium.io/v2alpha1
kind: CiliumEndpointSlice
metadata: {name: ces-2xkzt}
namespace: billing
endpoints: [{name: ledger-a, id: 132000, networking: {addressing: [{ipv4: 10.77.3.81}], node: 192.0.2.14}}]
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: billing}
spec: {clusterIP: 10.140.9.3, clusterIPs: [10.140.9.3], ipFamilies: [IPv4], ports: [{name: http, port: 80}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: ledger, namespace: billing, creationTimestamp: "2026-03-02T10:11:12Z"}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: nothing, namespace: billing, creationTimestamp: "2026-03-02T10:11:12Z"}
`;

const CACHE = "cilium/cache";
let folder = "";
let osaka: TestEtcd;
let amsterdam: TestEtcd;
const kube = memoryKube();
const server = new KubeServer({ kube, token: "exporter-of-the-test" });
const children: ChildProcess[] = [];

function program(cluster: string, id: number, etcd: TestEtcd, name: string, flags: readonly string[]): void {
  const config = join(folder, `${cluster}.yaml`);
  writeFileSync(config, `endpoints: ["${etcd.endpoint}"]\n`);
  const own = ["--cluster", cluster, "--cluster-id", String(id), "--run-dir", join(folder, "run")];
  const quick = [
    "--etcd-config",
    config,
    "--log-level",
    "warn",
    "--lease-ttl-seconds",
    "2",
    "--backoff-cap-ms",
    "1000",
  ];
  children.push(launch(BULKHEAD, [name, ...own, ...quick, ...flags]));
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-e2e-cilium-"));
  [osaka, amsterdam] = await Promise.all([TestEtcd.start(), TestEtcd.start()]);
  apply(kube, OBJECTS);
  const config = join(folder, "kubeconfig");
  writeFileSync(config, kubeconfig(await server.start(), { token: "exporter-of-the-test" }));
  const mode = ["--kube-mode", "cilium", "--kube-cilium-endpoints", "slices", "--kube-events", "warnings"];
  program("osaka", 2, osaka, "exporter", [...mode, "--kube-config", config]);
  const remotes = join(folder, "remotes");
  mkdirSync(remotes);
  writeFileSync(join(remotes, "osaka"), `endpoints: ["${osaka.endpoint}"]\n`);
  await until("osaka is exported", async () => (await value(osaka, "cilium/synced/osaka/cilium/state/ip/v1")) !== "");
  const quick = ["--config-interval-ms", "100", "--progress-interval-ms", "200", "--api-listen", "none"];
  program("amsterdam", 1, amsterdam, "kvstoremesh", ["--config-dir", remotes, ...quick]);
});

after(async () => {
  for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
  await server.stop();
  await Promise.all([osaka?.end(), amsterdam?.end()]);
  rmSync(folder, { recursive: true });
});

/** "" where there is none. */
async function value(etcd: TestEtcd, key: string): Promise<string> {
  const kv = etcd.connect();
  const { kvs } = await kv.range({ key }).finally(() => kv.close());
  return new TextDecoder().decode(kvs[0]?.value);
}

test("what osaka's Cilium says of itself is in amsterdam's cache: addresses of slices, identities, exports", async () => {
  const key = `${CACHE}/serviceexports/v1/osaka/billing/ledger`;
  const exported = await until("the export", async () => (await value(amsterdam, key)) || undefined, 40_000);
  assert.equal(
    exported,
    '{"cluster":"osaka","name":"ledger","namespace":"billing","exportCreationTimestamp":"2026-03-02T10:11:12Z","ports":[{"name":"http","protocol":"TCP","port":80}],"type":"ClusterSetIP","sessionAffinity":"None","ipFamilies":["IPv4"]}',
  );
  const entry = JSON.parse(await value(amsterdam, `${CACHE}/ip/v1/osaka/10.77.3.81`));
  assert.equal(entry.ID, 132_000);
  assert.equal(entry.K8sPodName, "ledger-a");
  assert.match(await value(amsterdam, `${CACHE}/identities/v1/osaka/id/132000`), /^k8s:app=ledger;/);
  assert.match(await value(amsterdam, "cilium/cluster-config/osaka"), /"serviceExportsEnabled":true/);
});

test("an export of nothing is told at the ServiceExport", async () => {
  const [event] = await until("an event", async () => {
    const found = [...kube.objects(EVENTS.path).values()];
    return found.length > 0 ? found : undefined;
  });
  assert.match(String(event?.["message"]), /^ServiceExport billing\/nothing: there is no Service of its name/);
  assert.ok(server.asked.has("create events"));
});

test("an export that is withdrawn is withdrawn there", async () => {
  kube.remove("/apis/multicluster.x-k8s.io/v1beta1/serviceexports", "billing/ledger");
  await until("it is gone", async () => {
    return (await value(amsterdam, `${CACHE}/serviceexports/v1/osaka/billing/ledger`)) === "" ? true : undefined;
  });
});
