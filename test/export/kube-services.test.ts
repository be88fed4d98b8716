/** Services of an API server in full: every address, who has what, names of ports; what other clusters are told and what the own agents are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL, BASE, cluster, LEDGER_POD, LEDGER_SERVICE, LEDGER_SLICE } from "./kube-cluster.ts";

const SHARED = "cilium/state/services/v1/osaka/billing/";
const OWN = "bulkhead/v1/services/billing/";
const HTTP = { http: { Protocol: "TCP", Port: 80 } };

const LOAD_BALANCER = LEDGER_SERVICE.replace(
  "type: ClusterIP",
  "type: LoadBalancer\n  externalIPs: [203.0.113.9]",
).concat(`status: {loadBalancer: {ingress: [{ip: 198.51.100.7, ipMode: VIP}, {hostname: lb.example}]}}\n`);

const withLoadBalancer = (text = LOAD_BALANCER): string => ALL.replace(LEDGER_SERVICE, text);

test("external addresses and those of a load balancer are served by the own agents; other clusters are told of ClusterIPs alone, as by Cilium", async () => {
  const { scene, exporter, value } = await cluster(withLoadBalancer());
  assert.deepEqual((await value(`${SHARED}ledger`)).frontends, { "10.140.9.3": HTTP });
  const own = await value(`${OWN}ledger`);
  assert.deepEqual(own.frontends, { "10.140.9.3": HTTP });
  assert.deepEqual(own.external, { "198.51.100.7": HTTP, "203.0.113.9": HTTP });
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("a load balancer that judges who comes, or wants the packets themselves, keeps its address; so does one of the other family", async () => {
  const { scene, value, apply } = await cluster(withLoadBalancer());
  const external = async (): Promise<readonly string[]> => Object.keys((await value(`${OWN}ledger`)).external ?? {});
  await apply(
    LOAD_BALANCER.replace("type: LoadBalancer", "type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.0/8]"),
  );
  assert.deepEqual(await external(), ["203.0.113.9"]);
  await apply(LOAD_BALANCER.replace("VIP", "Proxy"));
  assert.deepEqual(await external(), ["203.0.113.9"]);
  await apply(LOAD_BALANCER.replace("198.51.100.7", '"2001:db8::7"'));
  assert.deepEqual(await external(), ["203.0.113.9"]);
  await apply(
    LOAD_BALANCER.replace("[10.140.9.3]", '[10.140.9.3, "fd00:140::3"]').replace("198.51.100.7", '"2001:db8::7"'),
  );
  assert.deepEqual(await external(), ["2001:db8::7", "203.0.113.9"], "dual stack");
  await apply(LEDGER_SERVICE);
  assert.deepEqual(await external(), []);
  await scene.end();
});

test("no service takes the ClusterIP of another, or the address of a pod, by calling it external; the conflict is counted and explained", async () => {
  const thief = LEDGER_SERVICE.replaceAll("ledger", "a-thief")
    .replaceAll("10.140.9.3", "10.140.9.4")
    .replace("type: ClusterIP", "externalIPs: [10.140.9.3, 10.77.3.81, 203.0.113.9]");
  const { scene, exporter, value, apply } = await cluster([withLoadBalancer(), thief].join("---"));
  assert.deepEqual(Object.keys((await value(`${OWN}a-thief`)).external), ["203.0.113.9"]);
  const problems = exporter.status().problems;
  assert.deepEqual(
    problems.map((line) => line.replace("kubernetes:services/billing/", "")),
    [
      "a-thief: Service billing/a-thief: 10.140.9.3 is also the address of billing/ledger, which keeps it; give each service its own",
      "a-thief: Service billing/a-thief: 10.77.3.81 is also the address of pod billing/ledger-5c9d, which keeps it; give each service its own",
      "ledger: Service billing/ledger: 203.0.113.9 port 80/TCP is also the address of billing/a-thief; billing/a-thief has it; give each service its own",
    ],
  );
  assert.match(await scene.metrics.text(), /^bulkhead_export_conflicts\{kind="frontend"\} 3$/m);
  await apply(thief.replace("10.140.9.3, 10.77.3.81, 203", "203").replace("port: 80,", "port: 81,"));
  assert.deepEqual(exporter.status().problems, [], "one address, ports of their own");
  assert.match(await scene.metrics.text(), /^bulkhead_export_conflicts\{kind="frontend"\} 0$/m);
  await scene.end();
});

test("names and zones of backends go with them, as by Cilium: a headless service is resolved by them", async () => {
  const headless = LEDGER_SERVICE.replace("clusterIP: 10.140.9.3", "clusterIP: None").replace("[10.140.9.3]", "[None]");
  const slice = LEDGER_SLICE.replace(
    "nodeName: osk-w1",
    "hostname: ledger-0, zone: osk-b, hints: {forZones: [{name: osk-b}]}",
  );
  const unready = "{addresses: [10.77.3.82], conditions: {ready: false}, hostname: ledger-1, zone: osk-c}";
  const text = [BASE, headless, slice.replace("ports:", `  - ${unready}\nports:`)].join("---");
  const { scene, value, apply } = await cluster(text);
  const service = await value(`${SHARED}ledger`);
  assert.deepEqual(service.frontends, {});
  assert.deepEqual(Object.keys(service.backends), ["10.77.3.81"]);
  assert.deepEqual(service.hostnames, { "10.77.3.81": "ledger-0" });
  assert.deepEqual(service.zones, { "10.77.3.81": { zone: "osk-b", forZones: [{ name: "osk-b" }] } });
  await apply(LEDGER_SLICE);
  const plain = await value(`${SHARED}ledger`);
  assert.ok(!("hostnames" in plain) && !("zones" in plain));
  await scene.end();
});

test("two slices that differ in a port at one address: that of the lower name counts, in whatever order they came, and it is counted", async () => {
  const other = LEDGER_SLICE.replace("ledger-x7k2p", "ledger-aaaaa").replace("port: 8080", "port: 9090");
  const { scene, exporter, value, apply, remove } = await cluster(ALL);
  const port = async (): Promise<number> => (await value(`${SHARED}ledger`)).backends["10.77.3.81"].http.Port;
  await apply(other);
  assert.equal(await port(), 9090);
  assert.deepEqual(exporter.status().problems, [
    'kubernetes:endpointslices/billing/ledger-x7k2p: Service billing/ledger: 10.77.3.81 port "http" is 9090/TCP and 8080/TCP; the first counts, give each a name of its own',
  ]);
  assert.match(await scene.metrics.text(), /^bulkhead_export_conflicts\{kind="port-name"\} 1$/m);
  await remove("EndpointSlice", "billing/ledger-x7k2p");
  await apply(LEDGER_SLICE);
  assert.equal(await port(), 9090, "the other way round");
  await apply(other.replace("10.77.3.81", "10.77.3.82"));
  assert.deepEqual(exporter.status().problems, [], "of different pods it is in order: a named target port");
  assert.equal(await port(), 8080);
  await scene.end();
});

test("a pod whose containers have two ports of one name: the first counts, and it is told", async () => {
  const twice = LEDGER_POD.replace(
    "{containerPort: 9090}]}",
    "{containerPort: 9090}]}, {name: side, ports: [{name: web, containerPort: 7070}]}",
  );
  const { scene, exporter, value, apply } = await cluster([BASE, twice].join("---"));
  const ports = async () => (await value("cilium/state/ip/v1/default/10.77.3.81")).NamedPorts;
  assert.deepEqual(await ports(), [{ Name: "web", Port: 8080, Protocol: "TCP" }]);
  assert.deepEqual(exporter.status().problems, [
    'kubernetes:pods/billing/ledger-5c9d: Pod billing/ledger-5c9d: port "web" is 8080/TCP and 7070/TCP; the first counts, give each a name of its own',
  ]);
  await apply(twice.replace("7070", "8080"));
  assert.deepEqual(exporter.status().problems, [], "twice the same is no conflict");
  await scene.end();
});
