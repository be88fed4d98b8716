import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentStatus, DrilldStatus, MirrorStatus, RemoteStatus, ServiceStatus } from "../../src/model/status.ts";
import { serviceDetailText, servicesText } from "../../src/report/services.ts";
import { statusText } from "../../src/report/status.ts";
import { lost } from "./remote-examples.ts";
import { agent, base, noDrops } from "./status-examples.ts";

const remote: RemoteStatus = {
  ...lost,
  name: "osaka",
  entries: { ...lost.entries, ip: 5_003, services: 301 },
  grade: "stale",
};
const mirror: MirrorStatus = { ...base, program: "kvstoremesh", leader: true, queued: 0, remotes: [remote] };

test("status says how old what is known of a remote is, what its breaker does, and never passes escapes on", () => {
  const text = statusText([
    agent("n2"),
    mirror,
    agent("n1"),
    { ...mirror, cluster: "virginia", problems: ["bad remote"] },
  ]);
  assert.match(text, /osaka +connecting +no +yes +5315 +42\.1 s \(stale\) +open +2 +connect refused\\u001b\[2J/);
  assert(text.indexOf("amsterdam") < text.indexOf("virginia"));
  assert(text.indexOf("n1") < text.indexOf("n2"));
  assert.match(text, /services 10\/65536/);
  assert.match(text, /! kvstoremesh: bad remote/);
});

test("services is one row a service, with the clusters that serve it", () => {
  const lines = servicesText([agent("n1"), agent("n2")]).split("\n");
  assert.equal(lines.length, 3);
  assert.match(lines[1] ?? "", /shop\/cart +10\.101\.0\.10:80\/TCP\+UDP +local +amsterdam 1 +osaka 1 +n1,n2$/);
  assert.match(lines[2] ?? "", /shop\/empty +not global +none +none +n1,n2$/);
});

test("a service that is asked for shows each backend and why; nodes that differ stand apart", () => {
  const other: AgentStatus = {
    ...agent("n3"),
    services: [
      {
        ...(agent("n3").services[0] as ServiceStatus),
        tables: [{ frontend: "10.101.0.10:80/TCP", slots: 1021, hash: "00c0ffee" }],
        backends: [],
      },
    ],
  };
  const text = serviceDetailText([agent("n1"), agent("n2"), other], ["shop/cart", "shop/nothing"]);
  assert.match(
    text,
    /amsterdam shop\/cart: global, affinity local, session affinity 15 min, on n1, n2\n {2}10\.101\.0\.10:80\/TCP\+UDP/,
  );
  assert.match(text, /10\.2\.1\.10:8080\/TCP +osaka +no +affinity local: local backends exist/);
  assert.match(text, /on n3\n.*\n {2}maglev 10\.101\.0\.10:80\/TCP: 1021 slots, table 00c0ffee\n/);
  assert.match(text, /! no node programs a service shop\/nothing$/);
  assert.doesNotMatch(text, /shop\/empty/);
});

test("an agent's line tells its endpoints, policies, drops by reason, and what it could not see", () => {
  const open = { device: "pod1", ifindex: 7, addresses: [], identity: 0, policies: [] };
  const quiet = statusText([agent("n1")]);
  assert.match(quiet, /n1: 0 endpoints \(0 known, 0 unknown, 0 denied\), 0 policies, drops: none$/m);
  const status: AgentStatus = {
    ...agent("n1"),
    endpoints: [
      { ...open, pod: "demo/ledger", ingress: "enforced", egress: "open" },
      { ...open, ingress: "denied", egress: "denied" },
      { ...open, ingress: "open", egress: "open" },
    ],
    policies: [{ name: "NetworkPolicy/demo/a", source: "a.yaml:1", audit: false, endpoints: 1 }],
    drops: { ...noDrops, "policy-denied": 12, "spoofed-source": 3 },
    audited: 4,
    flowsLost: 5,
  };
  const line =
    "n1: 3 endpoints (1 known, 2 unknown, 1 denied), 1 policy, drops: policy-denied 12, spoofed-source 3, audited: 4, 5 flow events lost";
  assert(statusText([status]).includes(line), statusText([status]));
});

test("I12: an agent's line says how fresh the remotes are, since when it has that word, and that it knows nothing when it is old", () => {
  const said = (peers: AgentStatus["peers"]): string =>
    statusText([{ ...agent("n1"), peers }])
      .split("\n")
      .find((line) => line.includes("control plane"))
      ?.trim() ?? "";
  const remotes = [{ cluster: "osaka", grade: "fresh" } as const, { cluster: "virginia", grade: "stale" } as const];
  assert.equal(
    said({ controlPlane: "talking", ageMs: 4_000, remotes }),
    "n1: control plane talking, heard 4.0 s ago: osaka fresh, virginia stale",
  );
  assert.equal(
    said({ controlPlane: "silent", ageMs: 95_000, remotes: [{ cluster: "osaka", grade: "unknown" }] }),
    "n1: control plane silent, heard 95.0 s ago: osaka unknown",
  );
  assert.equal(said({ controlPlane: "unproven", remotes: [] }), "n1: control plane unproven: no remotes");
});

test("drilld: what it may do, and what lasts", () => {
  const drilld: DrilldStatus = {
    ...{ ...base, program: "drilld", targets: { etcd: ["kill"], link: ["flap"] }, places: ["client"] },
    lasting: [{ run: "r1", what: "kill of etcd" }],
  };
  assert.match(statusText([drilld]), /drilld: may do faults to etcd, link; kill of etcd \(run r1\) lasts now$/m);
  assert.match(statusText([{ ...drilld, targets: {}, lasting: [] }]), /may do faults to nothing; nothing lasts now$/m);
});

test("data paths of a node: which is dead, since when, and what follows; a service says it of each backend", () => {
  const node = agent("n1");
  const [osaka] = node.health.remotes;
  assert(osaka);
  assert.match(statusText([node]), /n1: data paths: osaka alive since 12\.0 s \(4 of 4 answer\)$/m);
  const connections = { started: 40, established: 31, refused: 2, silent: 5 };
  const met = { suspectsItself: false, remotes: [{ ...osaka, connections }] };
  const words = /alive since 12\.0 s \(4 of 4 answer; of 40 connections 31 established, 2 refused, 5 silent\)$/m;
  assert.match(statusText([{ ...node, health: met }]), words);
  const dead = { ...osaka, dataPath: "dead" as const, answered: 0, decision: "demote" as const };
  const idle = { ...osaka, cluster: "virginia", clusterId: 3, dataPath: "unknown" as const, targets: 0, answered: 0 };
  const health = { suspectsItself: false, remotes: [dead, idle] };
  const said =
    /data paths: osaka dead since 12\.0 s \(0 of 4 answer\), demoted; virginia unknown \(nothing to probe\)$/m;
  assert.match(statusText([{ ...node, health }]), said);
  assert.match(
    statusText([{ ...node, health: { ...health, suspectsItself: true } }]),
    /suspects itself: nothing is demoted/,
  );
  const why = "demoted: data path to osaka is dead";
  const backend = { cluster: "osaka", address: "10.2.1.10:80/TCP", used: false, why, demoted: true as const };
  const services = [{ ...(node.services[0] as ServiceStatus), backends: [backend] }];
  const nodes = [12_000, 15_000].map((sinceMs, index) => {
    const remotes = [{ ...dead, sinceMs }];
    return { ...agent(`n${index + 1}`), services, health: { ...health, remotes } };
  });
  const text = serviceDetailText(nodes, ["shop/cart"]);
  assert.match(text, /on n1, n2\n/);
  assert.match(text, /osaka +no +demoted: data path to osaka is dead since 12\.0 s/);
});
