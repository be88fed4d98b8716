/** What the API server of a cluster that runs Cilium has, as YAML, and which keys and values come of it: one rule of the mode `cilium` per test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKube } from "../../src/kube/faulty.ts";
import { memoryKube, pathOfKind, apply as put } from "../support/kube-objects.ts";
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

const ALL = [NAMESPACE, CILIUM_NODE, CILIUM_IDENTITY, CILIUM_ENDPOINT, SERVICE].join("---");

async function cluster(text: string) {
  const kube = memoryKube();
  put(kube, text);
  const scene = new Scene();
  const { exporter } = await scene.synced(scene.kubernetes(kube, "global", "cilium"));
  const apply = async (more: string): Promise<void> => {
    put(kube, more);
    await scene.clock.advance(1_000);
  };
  const remove = async (kind: string, key: string): Promise<void> => {
    kube.remove(pathOfKind(kind), key);
    await scene.clock.advance(1_000);
  };
  return { kube, scene, exporter, apply, remove };
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

test("of a namespace that is not global neither addresses nor identities are told, nodes are", async () => {
  const home = NAMESPACE.replace(
    "name: billing",
    'name: billing, annotations: {clustermesh.cilium.io/global: "false"}',
  );
  const { scene } = await cluster(ALL.replace(NAMESPACE, home));
  assert.equal(await scene.text(IP), undefined);
  assert.equal(await scene.text(IDENTITY), undefined);
  assert.ok(await scene.text(NODE));
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
