/** What the API server of a cluster that runs Cilium has, as YAML, and which keys and values come of it: one rule of the mode `cilium` per test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKube, type KubeFaults } from "../../src/kube/faulty.ts";
import { memoryKube, pathOfKind, apply as put } from "../support/kube-objects.ts";
import { changes } from "./kube-cluster.ts";
import { Scene } from "./scene.ts";

const IP = "cilium/state/ip/v1/default/10.77.3.81";
const IDENTITY = "cilium/state/identities/v1/id/460131";
const NODE = "cilium/state/nodes/v1/osaka/osk-w1";

const NAMESPACE = `
apiVersion: v1
kind: Namespace
metadata: {name: billing}
`;

const CILIUM_NODE = `
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: osk-w1, labels: {kubernetes.io/hostname: osk-w1}}
spec:
  addresses: [{type: CiliumInternalIP, ip: 10.77.3.65}, {type: InternalIP, ip: 192.0.2.14}]
  health: {ipv4: 10.77.3.70}
  ipam: {podCIDRs: [10.77.3.64/26], pool: {10.77.3.81: {owner: billing/ledger-5c9d}}}
  encryption: {}
  bootid: 0c0e6f0a-5f0b-4d1c-9a46-0d6a3b7b7f11
`;

const CILIUM_IDENTITY = `
apiVersion: cilium.io/v2
kind: CiliumIdentity
metadata: {name: "460131", labels: {app: ledger, io.kubernetes.pod.namespace: billing}}
security-labels:
  k8s:app: ledger
  k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name: billing
  k8s:io.cilium.k8s.policy.cluster: osaka
  k8s:io.cilium.k8s.policy.serviceaccount: books
  k8s:io.kubernetes.pod.namespace: billing
`;

const CILIUM_ENDPOINT = `
apiVersion: cilium.io/v2
kind: CiliumEndpoint
metadata: {name: ledger-5c9d, namespace: billing}
status:
  id: 1337
  state: ready
  encryption: {}
  identity:
    id: 460131
    labels: ["k8s:app=ledger", "k8s:io.cilium.k8s.policy.serviceaccount=books", "k8s:io.kubernetes.pod.namespace=billing"]
  networking: {addressing: [{ipv4: 10.77.3.81, ipv6: "fd00:77:3::51"}], node: 192.0.2.14}
  named-ports: [{name: http, port: 8080, protocol: TCP}]
`;

const SERVICE = `
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: billing, annotations: {service.cilium.io/global: "true"}}
spec: {clusterIP: 10.140.9.3, clusterIPs: [10.140.9.3], ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ledger-x7k2p, namespace: billing, labels: {kubernetes.io/service-name: ledger}}
addressType: IPv4
endpoints: [{addresses: [10.77.3.81], conditions: {ready: true}}]
ports: [{name: http, port: 8080, protocol: TCP}]
`;

const SERVICE_EXPORT = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: ledger, namespace: billing, creationTimestamp: "2026-03-02T10:11:12Z"}
spec: {exportedLabels: {tier: gold}, exportedAnnotations: {note: "a<b"}}
`;

const CILIUM_ENDPOINT_SLICE = `
apiVersion: cilium.io/v2alpha1
kind: CiliumEndpointSlice
metadata: {name: ces-2xkzt}
namespace: billing
endpoints:
  - name: ledger-5c9d
    id: 460131
    encryption: {}
    networking: {addressing: [{ipv4: 10.77.3.81, ipv6: "fd00:77:3::51"}], node: 192.0.2.14}
    named-ports: [{name: http, port: 8080, protocol: TCP}]
    service-account: books
  - {name: young, id: 5, networking: {addressing: [{ipv4: 10.77.3.99}], node: 192.0.2.14}}
`;

const EXPORT_KEY = "cilium/state/serviceexports/v1/osaka/billing/ledger";

const ALL = [NAMESPACE, CILIUM_NODE, CILIUM_IDENTITY, CILIUM_ENDPOINT, SERVICE].join("---");

async function cluster(text: string, mode: "cilium" | "cilium-slices" = "cilium", faults: KubeFaults = {}) {
  const kube = memoryKube();
  put(kube, text);
  const scene = new Scene();
  const { exporter } = await scene.synced(scene.kubernetes(faultyKube(kube, faults), "global", mode));
  return { kube, scene, exporter, ...changes(kube, scene) };
}

test("nodes, identities and addresses are those of Cilium, byte by byte", async () => {
  const { scene, exporter } = await cluster(ALL);
  assert.equal(
    await scene.text(NODE),
    '{"Name":"osk-w1","Cluster":"osaka","IPAddresses":[{"Type":"InternalIP","IP":"192.0.2.14"},{"Type":"CiliumInternalIP","IP":"10.77.3.65"}],"IPv4AllocCIDR":{"IP":"10.77.3.64","Mask":"////wA=="},"IPv4SecondaryAllocCIDRs":null,"IPv6AllocCIDR":null,"IPv6SecondaryAllocCIDRs":null,"IPv4HealthIP":"10.77.3.70","IPv6HealthIP":"","IPv4IngressIP":"","IPv6IngressIP":"","ClusterID":7,"Source":"custom-resource","EncryptionKey":0,"Labels":{"kubernetes.io/hostname":"osk-w1"},"Annotations":null,"WireguardPubKey":"","BootID":""}',
  );
  assert.equal(
    await scene.text(IDENTITY),
    "k8s:app=ledger;k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=billing;k8s:io.cilium.k8s.policy.cluster=osaka;k8s:io.cilium.k8s.policy.serviceaccount=books;k8s:io.kubernetes.pod.namespace=billing;",
  );
  assert.equal(
    await scene.text(IP),
    '{"IP":"10.77.3.81","Mask":null,"HostIP":"192.0.2.14","ID":460131,"Key":0,"Metadata":"","K8sNamespace":"billing","K8sPodName":"ledger-5c9d","K8sServiceAccount":"books","NamedPorts":[{"Name":"http","Port":8080,"Protocol":"TCP"}]}',
  );
  const service = JSON.parse((await scene.text("cilium/state/services/v1/osaka/billing/ledger")) ?? "{}");
  assert.deepEqual(Object.keys(service.backends), ["10.77.3.81"]);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("an identity goes when Cilium collects it, over restarts too, and its number may come back with other labels", async () => {
  const { kube, scene, apply, remove } = await cluster(ALL);
  await remove("CiliumEndpoint", "billing/ledger-5c9d");
  await remove("CiliumIdentity", "460131");
  assert.equal(await scene.text(IDENTITY), undefined);
  assert.equal(await scene.text(IP), undefined);
  await apply(CILIUM_IDENTITY.replace("k8s:app: ledger", "k8s:app: cart"));
  assert.match((await scene.text(IDENTITY)) ?? "", /^k8s:app=cart;/);
  await scene.end();
  kube.remove(pathOfKind("CiliumIdentity"), "460131");
  await scene.synced(scene.kubernetes(kube, "global", "cilium"));
  assert.equal(await scene.text(IDENTITY), undefined);
  await scene.end();
});

test("of a namespace that is not global neither addresses, identities, services nor exports are told, nodes are", async () => {
  const home = NAMESPACE.replace(
    "name: billing",
    'name: billing, annotations: {clustermesh.cilium.io/global: "false"}',
  );
  const { scene, apply } = await cluster([ALL.replace(NAMESPACE, home), SERVICE_EXPORT].join("---"));
  const kept = [IP, IDENTITY, "cilium/state/services/v1/osaka/billing/ledger", EXPORT_KEY];
  for (const key of kept) assert.equal(await scene.text(key), undefined, key);
  assert.ok(await scene.text(NODE));
  await apply(NAMESPACE);
  for (const key of kept) assert.ok(await scene.text(key), key);
  await apply(home);
  for (const key of kept) assert.equal(await scene.text(key), undefined, key);
  await scene.end();
});

test("an endpoint without an identity of its own yet is none", async () => {
  const { scene, exporter, apply } = await cluster(ALL.replace("id: 460131\n", "id: 5\n"));
  assert.equal(await scene.text(IP), undefined);
  assert.deepEqual(exporter.status().problems, []);
  await apply(CILIUM_ENDPOINT);
  assert.ok(await scene.text(IP));
  await scene.end();
});

test("what cannot be carried is refused by name and reason, and what was said before stays", async () => {
  const { scene, exporter, apply } = await cluster(ALL);
  const before = [await scene.text(NODE), await scene.text(IP), await scene.text(IDENTITY)];
  await apply(CILIUM_NODE.replace("encryption: {}", "encryption: {key: 3}"));
  await apply(CILIUM_ENDPOINT.replace("encryption: {}", "encryption: {key: 3}"));
  await apply(CILIUM_IDENTITY.replace("k8s:app: ledger", 'k8s:app: "a;b"'));
  assert.deepEqual([await scene.text(NODE), await scene.text(IP), await scene.text(IDENTITY)], before);
  const text = exporter.status().problems.join("\n");
  assert.match(text, /ciliumnodes\/osk-w1: spec\.encryption: encryption is not carried .*the last good state stays/);
  assert.match(text, /ciliumendpoints\/billing\/ledger-5c9d: status\.encryption: encryption is not carried/);
  assert.match(text, /ciliumidentities\/460131: security-labels: .*holds ';'/);
  await scene.end();
});

test("an identity of another cluster's range is refused: the cluster id here is not Cilium's", async () => {
  const { scene, exporter } = await cluster(ALL.replaceAll("460131", "66000"));
  assert.equal(await scene.text("cilium/state/identities/v1/id/66000"), undefined);
  assert.match(exporter.status().problems.join("\n"), /ciliumidentities\/66000: identity 66000: .*66000/);
  await scene.end();
});

test("Cilium's objects that are not there at all: nothing is said, nothing withdrawn", async () => {
  const { kube, scene } = await cluster(ALL);
  await scene.end();
  const before = await scene.revisions();
  const api = faultyKube(kube, { fault: (_call, path) => (path.includes("cilium.io") ? "absent" : undefined) });
  const { exporter } = scene.start(scene.kubernetes(api, "global", "cilium"));
  await scene.clock.advance(400_000);
  assert.deepEqual(await scene.revisions(), before);
  assert.equal(exporter.status().leader, false);
  assert.match(exporter.status().problems.join("\n"), /Kubernetes: ciliumnodes: absent/);
  await scene.end();
});

test("a service that is exported by the MCS-API, byte by byte; it need not be global", async () => {
  const service = SERVICE.replace('service.cilium.io/global: "true"', "")
    .replace(
      "ports: [",
      "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}, ports: [",
    )
    .replace("ports: [", "ipFamilies: [IPv4], internalTrafficPolicy: Cluster, trafficDistribution: Nearby, ports: [")
    .replace("port: 80,", "port: 80, appProtocol: h2c,");
  const { scene, exporter, apply, remove } = await cluster([ALL.replace(SERVICE, service), SERVICE_EXPORT].join("---"));
  assert.equal(
    await scene.text(EXPORT_KEY),
    '{"cluster":"osaka","name":"ledger","namespace":"billing","annotations":{"note":"a\\u003cb"},"labels":{"tier":"gold"},"Labels":{"tier":"gold"},"Annotations":{"note":"a\\u003cb"},"exportCreationTimestamp":"2026-03-02T10:11:12Z","ports":[{"name":"http","protocol":"TCP","appProtocol":"h2c","port":80}],"type":"ClusterSetIP","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":600}},"ipFamilies":["IPv4"],"internalTrafficPolicy":"Cluster"}',
  );
  assert.deepEqual(exporter.status().problems, []);
  const others = [...(await scene.keys()).keys()].filter((key) => key.includes("/services/v1/osaka/"));
  assert.deepEqual(others, [], "that is all that is said of it");
  await apply(service.replaceAll("10.140.9.3", "None"));
  assert.match((await scene.text(EXPORT_KEY)) ?? "", /"type":"Headless"/);
  await remove("ServiceExport", "billing/ledger");
  assert.equal(await scene.text(EXPORT_KEY), undefined);
  await scene.end();
});

test("an export of a service that is not there is told; of one that cannot be read, what was exported stays", async () => {
  const { kube, scene, exporter: first, apply, remove } = await cluster([ALL, SERVICE_EXPORT].join("---"));
  const before = await scene.text(EXPORT_KEY);
  assert.ok(before);
  await apply(SERVICE.replace("port: 80,", "port: 80000,"));
  assert.equal(await scene.text(EXPORT_KEY), before);
  assert.match(first.status().problems.join(), /services\/billing\/ledger: .*65535.*the last good state stays/);
  await scene.end();
  const { exporter } = await scene.synced(scene.kubernetes(kube, "global", "cilium"));
  assert.equal(await scene.text(EXPORT_KEY), before, "the new process never understood it");
  await remove("Service", "billing/ledger");
  await scene.clock.advance(400_000);
  assert.equal(await scene.text(EXPORT_KEY), undefined);
  assert.deepEqual(exporter.status().problems, [
    "kubernetes:serviceexports/billing/ledger: ServiceExport billing/ledger: there is no Service of its name that has addresses; make one, or delete the ServiceExport",
  ]);
  await scene.end();
});

test("the config says whether service exports are read; the canary is there in any case", async () => {
  const { scene } = await cluster(ALL);
  assert.match((await scene.text("cilium/cluster-config/osaka")) ?? "", /"serviceExportsEnabled":true/);
  assert.ok(await scene.text("cilium/synced/osaka/cilium/state/serviceexports/v1"));
  await scene.end();
  const native = new Scene();
  await native.synced(native.kubernetes(memoryKube()));
  assert.match((await native.text("cilium/cluster-config/osaka")) ?? "", /"serviceExportsEnabled":false/);
  assert.ok(await native.text("cilium/synced/osaka/cilium/state/serviceexports/v1"));
  await native.end();
});

test("a server that has only the older version of ServiceExport, or none at all, is read all the same", async () => {
  const asked = new Set<string>();
  let absent = "v1beta1";
  const fault: KubeFaults["fault"] = (_call, path) => {
    if (path.includes("multicluster")) asked.add(path);
    return path.includes(`multicluster.x-k8s.io/${absent}`) ? "absent" : undefined;
  };
  const older = await cluster(ALL, "cilium", { fault });
  assert.deepEqual(
    [...asked],
    ["v1beta1", "v1alpha1"].map((version) => `/apis/multicluster.x-k8s.io/${version}/serviceexports`),
  );
  assert.ok(older.exporter.status().kinds?.some(({ kind, listed }) => kind === "ServiceExport" && listed));
  assert.deepEqual(older.exporter.status().problems, []);
  await older.scene.end();
  absent = "";
  const none = await cluster(ALL, "cilium", { fault });
  assert.deepEqual(none.exporter.status().problems, []);
  await none.scene.end();
});

const SLICED = ALL.replace(CILIUM_ENDPOINT, CILIUM_ENDPOINT_SLICE);

test("endpoints that Cilium batched into slices say the same, byte by byte", async () => {
  const single = await cluster(ALL);
  const expected = await single.scene.text(IP);
  await single.scene.end();
  const { scene, exporter, remove } = await cluster(SLICED, "cilium-slices");
  assert.equal(await scene.text(IP), expected);
  assert.equal(await scene.text("cilium/state/ip/v1/default/10.77.3.99"), undefined, "has no identity yet");
  assert.deepEqual(exporter.status().problems, []);
  await remove("CiliumEndpointSlice", "ces-2xkzt");
  assert.equal(await scene.text(IP), undefined);
  await scene.end();
});

test("an endpoint that Cilium moves to another slice is in both for a while: nobody is told, and nothing is withdrawn", async () => {
  const { scene, exporter, apply, remove } = await cluster(SLICED, "cilium-slices");
  await apply(CILIUM_ENDPOINT_SLICE.replace("ces-2xkzt", "ces-9aaaa"));
  const before = await scene.revisions();
  assert.deepEqual(exporter.status().problems, []);
  await remove("CiliumEndpointSlice", "ces-2xkzt");
  assert.deepEqual(await scene.revisions(), before);
  await scene.end();
});

test("a slice that makes no sense is refused whole, and what was said of its endpoints stays, over restarts too", async () => {
  const { kube, scene, exporter, apply, remove } = await cluster(SLICED, "cilium-slices");
  const before = await scene.text(IP);
  assert.ok(before);
  await apply(CILIUM_ENDPOINT_SLICE.replace("encryption: {}", "encryption: {key: 3}"));
  assert.equal(await scene.text(IP), before);
  assert.match(
    exporter.status().problems[0] ?? "",
    /ciliumendpointslices\/ces-2xkzt: endpoints\[0\]\.encryption: encryption/,
  );
  await scene.end();
  await scene.synced(scene.kubernetes(kube, "global", "cilium-slices"));
  assert.equal(await scene.text(IP), before, "the new process never understood it");
  await remove("CiliumEndpointSlice", "ces-2xkzt");
  await scene.clock.advance(400_000);
  assert.equal(await scene.text(IP), undefined, "until it is deleted");
  await scene.end();
});
