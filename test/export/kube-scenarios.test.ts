/** What an API server has, as YAML, and which keys and values come of it: one rule of the mode `native` per test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKube } from "../../src/kube/faulty.ts";
import { homeByDefault } from "../../src/wire/kube-kinds.ts";
import { memoryKube, apply as put } from "../support/kube-objects.ts";
import { ALL, BASE, cluster, LEDGER_POD, LEDGER_SERVICE, LEDGER_SLICE } from "./kube-cluster.ts";
import { Scene } from "./scene.ts";

const IP = "cilium/state/ip/v1/default/";
const IDENTITY = "cilium/state/identities/v1/id/";
const NODE = "cilium/state/nodes/v1/osaka/";
const SERVICE = "cilium/state/services/v1/osaka/";
const OWN_IP = "bulkhead/v1/ip/";
const OWN_SERVICE = "bulkhead/v1/services/";
const POLICY = "bulkhead/v1/policies/";

test("a pod becomes an address with an identity of its labels, its namespace's labels, its service account and the cluster", async () => {
  const { scene, value } = await cluster(ALL);
  const entry = await value(`${IP}10.77.3.81`);
  assert.equal(entry.HostIP, "192.0.2.14");
  assert.equal(entry.K8sNamespace, "billing");
  assert.equal(entry.K8sPodName, "ledger-5c9d");
  assert.equal(entry.K8sServiceAccount, "books");
  assert.deepEqual(entry.NamedPorts, [{ Name: "web", Port: 8080, Protocol: "TCP" }]);
  assert.equal((await value(`${IP}fd00:77:3::51`)).ID, entry.ID, "both families are the same pod");
  assert.deepEqual((await scene.text(IDENTITY + entry.ID))?.split(";"), [
    "k8s:app=ledger",
    "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=billing",
    "k8s:io.cilium.k8s.namespace.labels.team=fin",
    "k8s:io.cilium.k8s.policy.cluster=osaka",
    "k8s:io.cilium.k8s.policy.serviceaccount=books",
    "k8s:io.kubernetes.pod.namespace=billing",
    "",
  ]);
  await scene.end();
});

test("a node with its pod CIDRs, and no problem in all of this", async () => {
  const { scene, exporter, value } = await cluster(ALL);
  const node = await value(`${NODE}osk-w1`);
  assert.deepEqual(node.IPAddresses, [{ Type: "InternalIP", IP: "192.0.2.14" }]);
  assert.equal(node.IPv4AllocCIDR.IP, "10.77.3.0");
  assert.equal(node.IPv6AllocCIDR.IP, "fd00:77:3::");
  const { problems, kinds = [] } = exporter.status();
  assert.deepEqual(problems, []);
  assert.deepEqual(
    kinds.map(({ kind, objects }) => `${kind} ${objects}`),
    [
      "Namespace 1",
      "Node 1",
      "Pod 1",
      "Service 1",
      "EndpointSlice 1",
      "NetworkPolicy 0",
      "CiliumNetworkPolicy 0",
      "CiliumClusterwideNetworkPolicy 0",
    ],
  );
  await scene.end();
});

test("a global service with the backends of its EndpointSlices, under the ports' names", async () => {
  const { scene, value, apply, backends } = await cluster(ALL);
  const service = await value(`${SERVICE}billing/ledger`);
  assert.deepEqual(service.frontends, { "10.140.9.3": { http: { Protocol: "TCP", Port: 80 } } });
  assert.deepEqual(service.backends, { "10.77.3.81": { http: { Protocol: "TCP", Port: 8080 } } });
  assert.equal(service.shared, true);
  await apply(LEDGER_SLICE.replace("ledger-x7k2p", "ledger-second").replace("10.77.3.81", "10.77.3.82"));
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81", "10.77.3.82"], "of all its slices");
  await scene.end();
});

test("global, shared, affinity and namespaces that are not global, by annotation", async () => {
  const { scene, apply, value } = await cluster(ALL);
  const annotated = (text: string): string => LEDGER_SERVICE.replace('service.cilium.io/global: "true"', text);
  await apply(annotated('service.cilium.io/global: "true", service.cilium.io/affinity: local'));
  assert.equal((await value(`${OWN_SERVICE}billing/ledger`)).affinity, "local");
  await apply(annotated('service.cilium.io/global: "true", service.cilium.io/shared: "false"'));
  assert.equal(await value(`${SERVICE}billing/ledger`), undefined, "uses others' backends and offers none");
  assert.equal((await value(`${OWN_SERVICE}billing/ledger`)).global, true);
  await apply(annotated(""));
  assert.equal((await value(`${OWN_SERVICE}billing/ledger`)).global, false);
  await apply(LEDGER_SERVICE);
  assert.ok(await value(`${SERVICE}billing/ledger`));
  await apply(
    BASE.replace("labels: {team: fin,", 'annotations: {clustermesh.cilium.io/global: "false"}, labels: {team: fin,'),
  );
  assert.equal(await value(`${SERVICE}billing/ledger`), undefined);
  assert.equal(await value(`${IP}10.77.3.81`), undefined, "its pods stay at home");
  assert.ok(await value(`${OWN_IP}10.77.3.81`));
  await scene.end();
});

test("services that are not global stay with kube-proxy, unless all are asked for", async () => {
  const { kube, scene, value } = await cluster(
    [ALL, LEDGER_SERVICE.replaceAll("ledger", "home").replace('"true"', '"false"')].join("---"),
  );
  const [home, ledger] = [`${OWN_SERVICE}billing/home`, `${OWN_SERVICE}billing/ledger`];
  assert.ok((await value(home)) && (await value(ledger)), "all");
  await scene.end();
  const { exporter } = await scene.synced(scene.kubernetes(kube, "global"));
  assert.ok(await value(ledger));
  assert.equal(await value(home), undefined);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("a headless service keeps its endpoints; one that is only a name is nothing to us", async () => {
  const headless = LEDGER_SERVICE.replace("clusterIP: 10.140.9.3", "clusterIP: None").replace("[10.140.9.3]", "[None]");
  const alias = `
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: billing, annotations: {service.cilium.io/global: "true"}}
spec: {type: ExternalName, externalName: ledger.example}
`;
  const { scene, exporter, value } = await cluster([BASE, headless, LEDGER_SLICE, alias].join("---"));
  const service = await value(`${SERVICE}billing/ledger`);
  assert.deepEqual(service.frontends, {});
  assert.deepEqual(Object.keys(service.backends), ["10.77.3.81"]);
  assert.equal(await value(`${SERVICE}billing/alias`), undefined);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("a service that says it is headless is; slices that Cilium wrote of other clusters' backends are none of ours", async () => {
  const { scene, value, apply, backends } = await cluster(ALL);
  await apply(LEDGER_SERVICE.replace("name: ledger,", "name: ledger, labels: {service.kubernetes.io/headless: ''},"));
  assert.deepEqual((await value(`${SERVICE}billing/ledger`)).frontends, {});
  const mirrored = LEDGER_SLICE.replace("x7k2p", "amsterdam")
    .replace("10.77.3.81", "10.76.1.5")
    .replace("labels: {", "labels: {endpointslice.kubernetes.io/managed-by: endpointslice-mesh-controller.cilium.io, ");
  await apply(mirrored);
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81"]);
  await apply(mirrored.replace("mesh-controller.cilium.io", "controller.k8s.io"));
  assert.deepEqual(await backends("billing/ledger"), ["10.76.1.5", "10.77.3.81"]);
  await scene.end();
});

test("dual stack: addresses of both families before, backends of both behind; of one family only its own", async () => {
  const six = LEDGER_SLICE.replace("x7k2p", "six").replace("IPv4", "IPv6").replace("[10.77.3.81]", '["fd00:77:3::51"]');
  const { scene, value, apply, backends } = await cluster([ALL, six].join("---"));
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81"]);
  await apply(LEDGER_SERVICE.replace("[10.140.9.3]", '[10.140.9.3, "fd00:140::3"]'));
  assert.deepEqual(Object.keys((await value(`${SERVICE}billing/ledger`)).frontends), ["10.140.9.3", "fd00:140::3"]);
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81", "fd00:77:3::51"]);
  await scene.end();
});

test("backends: ready ones; those that end but still answer only when nobody is ready; of unknown state ready", async () => {
  const { scene, apply, backends, value } = await cluster(ALL);
  const ends = async (): Promise<unknown> => (await value("bulkhead/v1/services/billing/ledger")).ending;
  const slice = (first: string, second: string): string =>
    LEDGER_SLICE.replace(
      /endpoints:\n.*\n/,
      `endpoints:
  - {addresses: [10.77.3.81], conditions: {${first}}}
  - {addresses: [10.77.3.82], conditions: {${second}}}
`,
    );
  const ending = "ready: false, serving: true, terminating: true";
  await apply(slice(ending, "ready: true"));
  assert.deepEqual([await backends("billing/ledger"), await ends()], [["10.77.3.82"], undefined]);
  await apply(slice(ending, "ready: false, serving: false"));
  assert.deepEqual([await backends("billing/ledger"), await ends()], [["10.77.3.81"], true], "better than nobody");
  await apply(slice("ready: false", "ready: false"));
  assert.deepEqual(await backends("billing/ledger"), []);
  await apply(slice("", "ready: null"));
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81", "10.77.3.82"]);
  await scene.end();
});

test("a spill threshold: endpoints that are not ready are counted once, of two families too, those that leave never", async () => {
  const { scene, apply, value } = await cluster(ALL);
  const routing = async (): Promise<unknown> => (await value("bulkhead/v1/services/billing/ledger")).routing;
  const asking = 'service.cilium.io/affinity: local, service.bulkhead.io/spill-below: "60"}}';
  await apply(LEDGER_SERVICE.replace("}}", `, ${asking}`));
  const expected = { prefer: [], weights: {}, spillBelow: 60 };
  assert.deepEqual(await routing(), { ...expected, unready: 0 });
  const sick = (address: string): string => `
  - {addresses: ["${address}"], conditions: {ready: false}}
  - {addresses: ["${address}1"], conditions: {ready: false, serving: false, terminating: true}}`;
  const v4 = LEDGER_SLICE.replace("endpoints:", `endpoints:${sick("10.77.3.9")}`);
  await apply(v4);
  await apply(
    v4
      .replace("ledger-x7k2p", "ledger-v6")
      .replace("IPv4", "IPv6")
      .replaceAll(/"10\.77\.3\.(\d+)"/g, '"fd00:77:3::$1"')
      .replace("[10.77.3.81]", '["fd00:77:3::51"]'),
  );
  assert.deepEqual(await routing(), { ...expected, unready: 1 });
  await scene.end();
});

test("pods with host networking, ended ones and those without an address are no endpoints; ending ones are until they are gone", async () => {
  const pod = (name: string, ip: string, more: string): string =>
    LEDGER_POD.replace("ledger-5c9d", name)
      .replaceAll("10.77.3.81", ip)
      .replace(', {ip: "fd00:77:3::51"}', "")
      .replace("phase: Running", more);
  const host = LEDGER_POD.replace("nodeName: osk-w1", "nodeName: osk-w1\n  hostNetwork: true")
    .replaceAll("10.77.3.81", "192.0.2.14")
    .replace(', {ip: "fd00:77:3::51"}', "");
  const pending = LEDGER_POD.replace("ledger-5c9d", "pending").replace(/ {2}podIP: .*\n {2}podIPs: .*\n/, "");
  const ending = pod("ending", "10.77.3.91", "phase: Running").replace(
    "name: ending",
    'name: ending\n  deletionTimestamp: "2026-03-02T10:11:12Z"',
  );
  const texts = [BASE, host, pending, ending, pod("done", "10.77.3.92", "phase: Succeeded")];
  const { scene, exporter, remove } = await cluster(texts.join("---"));
  const addresses = [...(await scene.keys()).keys()].filter((key) => key.startsWith(IP));
  assert.deepEqual(addresses, [`${IP}10.77.3.91`]);
  assert.deepEqual(exporter.status().problems, []);
  await remove("Pod", "billing/ending");
  assert.equal(await scene.text(`${IP}10.77.3.91`), undefined);
  await scene.end();
});

test("no label of a pod can say where it runs", async () => {
  const forger = LEDGER_POD.replace("app: ledger,", 'app: ledger, "io.cilium.k8s.policy.cluster": tokyo,');
  const { scene, value } = await cluster([BASE, forger].join("---"));
  const { ID } = await value(`${IP}10.77.3.81`);
  assert.match((await scene.text(IDENTITY + ID)) ?? "", /k8s:io\.cilium\.k8s\.policy\.cluster=osaka;/);
  await scene.end();
});

test("a pod that is heard of before its namespace waits for it: no identity is made without the namespace's labels", async () => {
  const { scene, apply, value } = await cluster(BASE);
  await apply(LEDGER_POD.replace("namespace: billing", "namespace: late"));
  assert.equal(await value(`${IP}10.77.3.81`), undefined);
  await apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: late, labels: {tier: gold}}\n");
  const { ID } = await value(`${IP}10.77.3.81`);
  assert.match((await scene.text(IDENTITY + ID)) ?? "", /namespace\.labels\.tier=gold;/);
  const identities = [...(await scene.keys()).keys()].filter((key) => key.startsWith(IDENTITY));
  assert.equal(identities.length, 1);
  await scene.end();
});

test("two pods that claim one address: who had it keeps it, at first the first by name, and the other is told", async () => {
  const second = LEDGER_POD.replace("ledger-5c9d", "a-thief");
  const { scene, exporter, apply, remove, value } = await cluster(ALL);
  await apply(second);
  assert.equal((await value(`${IP}10.77.3.81`)).K8sPodName, "ledger-5c9d");
  assert.match(
    exporter.status().problems[0] ?? "",
    /^kubernetes:pods\/billing\/a-thief: Pod billing\/a-thief: address 10\.77\.3\.81 belongs to pod billing\/ledger-5c9d; /,
  );
  await remove("Pod", "billing/ledger-5c9d");
  assert.equal((await value(`${IP}10.77.3.81`)).K8sPodName, "a-thief", "the next one follows");
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
  const both = await cluster([BASE, LEDGER_POD, second].join("---"));
  assert.equal((await both.value(`${IP}10.77.3.81`)).K8sPodName, "a-thief");
  await both.scene.end();
});

test("policies of all three kinds go to the agents as they were written", async () => {
  const policies = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: quiet, namespace: billing}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ledger, namespace: billing}
spec: {endpointSelector: {matchLabels: {app: ledger}}, ingress: [{fromEndpoints: [{matchLabels: {app: cart}}]}]}
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: all}
spec: {endpointSelector: {}, ingress: [{fromEntities: [cluster]}]}
`;
  const { scene, exporter, value } = await cluster([ALL, policies].join("---"));
  const names = [...(await scene.keys()).keys()].filter((key) => key.startsWith(POLICY));
  assert.deepEqual(names, [
    `${POLICY}CiliumClusterwideNetworkPolicy/all`,
    `${POLICY}CiliumNetworkPolicy/billing/ledger`,
    `${POLICY}NetworkPolicy/billing/quiet`,
  ]);
  const { source, document } = await value(`${POLICY}CiliumNetworkPolicy/billing/ledger`);
  assert.equal(source, "kubernetes:ciliumnetworkpolicies/billing/ledger");
  assert.deepEqual(document.metadata, { name: "ledger", namespace: "billing" }, "without what servers and kubectl add");
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

const BY_NAME = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ledger, namespace: billing}
spec: {endpointSelector: {matchLabels: {app: ledger}}, egress: [{toFQDNs: [{matchName: example.com}]}]}
`;
const BY_LABEL = BY_NAME.replace("egress: [{toFQDNs: [{matchName: example.com}]}]", "ingress: [{}]");

test("a policy that cannot be enforced is refused alone, by name and reason, and its last good version stays, over restarts too", async () => {
  const { kube, scene, exporter, apply, value } = await cluster([ALL, BY_LABEL].join("---"));
  const key = `${POLICY}CiliumNetworkPolicy/billing/ledger`;
  const before = await value(key);
  assert.ok(before);
  await apply(BY_NAME);
  assert.deepEqual(await value(key), before);
  const [problem = "", ...others] = exporter.status().problems;
  assert.match(problem, /^kubernetes:ciliumnetworkpolicies\/billing\/ledger: .*toFQDNs.*; the last good state stays$/);
  assert.deepEqual(others, []);
  const refused = exporter.status().kinds?.map(({ kind, refused }) => `${kind} ${refused}`);
  assert.ok(refused?.includes("CiliumNetworkPolicy 1"));
  await scene.end();
  put(kube, LEDGER_POD.replaceAll("10.77.3.81", "10.77.3.99"));
  const again = await scene.synced(scene.kubernetes(kube));
  assert.deepEqual(await value(key), before, "the new process never understood it");
  assert.match(again.exporter.status().problems[0] ?? "", /toFQDNs.*; what is published for it stays$/);
  assert.equal(await value(`${IP}10.77.3.81`), undefined, "what is gone is gone all the same");
  kube.remove("/apis/cilium.io/v2/ciliumnetworkpolicies", "billing/ledger");
  await scene.clock.advance(400_000);
  assert.equal(await value(key), undefined, "until it is deleted");
  await scene.end();
});

test("a slice that makes no sense leaves its service as it was; a service that makes none is refused alone", async () => {
  const { kube, scene, exporter, apply, backends } = await cluster(ALL);
  const bad = LEDGER_SLICE.replace("x7k2p", "bad").replace("[10.77.3.81]", '["fd00::1"]');
  await apply(bad);
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81"]);
  assert.match(
    exporter.status().problems.join("\n"),
    /endpointslices\/billing\/ledger-bad: .*not of the slice's addressType/,
  );
  kube.remove("/apis/discovery.k8s.io/v1/endpointslices", "billing/ledger-x7k2p");
  await scene.clock.advance(1_000);
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81"], "who knows what is in the other one");
  kube.remove("/apis/discovery.k8s.io/v1/endpointslices", "billing/ledger-bad");
  await scene.clock.advance(1_000);
  assert.deepEqual(await backends("billing/ledger"), []);
  await apply(LEDGER_SERVICE.replace("port: 80,", "port: 80000,"));
  assert.deepEqual(await backends("billing/ledger"), []);
  assert.match(exporter.status().problems.join("\n"), /services\/billing\/ledger: spec\.ports\[0\]\.port: .*65535/);
  await scene.end();
});

test("what is not done yet is said: SCTP; session affinity is taken over", async () => {
  const affinity = "sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 77}}\n  selector:";
  const asking = LEDGER_SERVICE.replace("selector:", affinity).replace("TCP", "SCTP");
  const { scene, exporter, value } = await cluster([BASE, asking].join("---"));
  assert.equal((await value("bulkhead/v1/services/billing/ledger")).sessionAffinitySeconds, 77);
  const text = exporter.status().problems.join("\n");
  assert.match(text, /SCTP ports are not load-balanced yet/);
  await scene.end();
});

test("an API server that is gone withdraws nothing, over audits; what changed meanwhile is found when it is back", async () => {
  const { kube, scene, exporter, value } = await cluster(ALL);
  const before = await scene.revisions();
  kube.die();
  kube.remove("/api/v1/pods", "billing/ledger-5c9d");
  await scene.clock.advance(400_000);
  assert.deepEqual(await scene.revisions(), before);
  assert.match(
    exporter.status().problems[0] ?? "",
    /^Kubernetes: namespaces: the API server is gone; what is known stays$/,
  );
  kube.revive();
  await scene.clock.advance(10_000);
  assert.equal(await value(`${IP}10.77.3.81`), undefined);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("one kind that cannot be listed at the start: nobody leads, nothing of the process before is withdrawn", async () => {
  const { kube, scene } = await cluster(ALL);
  await scene.end();
  const before = await scene.revisions();
  let forbidden = true;
  const api = faultyKube(kube, {
    fault: (_call, path) => (forbidden && path.endsWith("/pods") ? "forbidden" : undefined),
  });
  const { exporter } = scene.start(scene.kubernetes(api));
  await scene.clock.advance(400_000);
  assert.deepEqual(await scene.revisions(), before);
  assert.equal(exporter.status().leader, false);
  assert.deepEqual(exporter.ready(), { ready: false, detail: "not every source was read yet" });
  assert.deepEqual(exporter.status().problems, ["Kubernetes: pods: forbidden (injected); what is known stays"]);
  forbidden = false;
  kube.remove("/api/v1/pods", "billing/ledger-5c9d");
  await scene.clock.advance(10_000);
  assert.equal(await scene.text(`${IP}10.77.3.81`), undefined, "a real answer withdraws");
  await scene.end();
});

test("a cluster without Cilium has no Cilium policies, and is exported all the same", async () => {
  const absent = {
    fault: (_call: unknown, path: string) => (path.includes("cilium.io") ? "absent" : undefined),
  } as const;
  const { scene, exporter, backends } = await cluster(ALL, absent);
  assert.deepEqual(await backends("billing/ledger"), ["10.77.3.81"]);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("where namespaces are local unless they say otherwise: nothing of those that do not is told", async () => {
  const kube = memoryKube();
  put(kube, ALL);
  const scene = new Scene();
  const { kubernetes, ...rest } = scene.kubernetes(kube);
  assert.ok(kubernetes);
  await scene.synced({ ...rest, kubernetes: { ...kubernetes, kinds: homeByDefault(kubernetes.kinds) } });
  const keys = [`${IP}10.77.3.81`, `${SERVICE}billing/ledger`];
  for (const key of keys) assert.equal(await scene.text(key), undefined, key);
  assert.ok(await scene.text(`${OWN_IP}10.77.3.81`), "the own agents are told");
  put(kube, BASE.replace("labels: {team", 'annotations: {clustermesh.cilium.io/global: "true"}, labels: {team'));
  await scene.clock.advance(1_000);
  for (const key of keys) assert.ok(await scene.text(key), key);
  await scene.end();
});
