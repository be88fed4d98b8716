import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentStatus, ExporterStatus, MirrorStatus, RemoteStatus } from "../../src/model/status.ts";
import { type PageEvents, type PageInput, pageState } from "../../src/report/page.ts";
import { pageServices } from "../../src/report/page-services.ts";
import { followed, lost } from "./remote-examples.ts";
import { agent, base } from "./status-examples.ts";

const events: PageEvents = { source: "none", recent: [], drills: [], rate: { stepMs: 1, endMs: 1, counts: [] } };

function mirror(remotes: readonly RemoteStatus[], more: Partial<MirrorStatus> = {}): MirrorStatus {
  return { ...base, program: "kvstoremesh", leader: true, queued: 3, remotes, ...more };
}

function seen(more: Partial<PageInput>) {
  const nobody = { statuses: [], silent: [], setAside: new Map() };
  return pageState({ cluster: "amsterdam", wallMs: 7, events, ...nobody, ...more });
}

test("the data path of a pair is the worst that a node finds, with what each makes of it", () => {
  const well = agent("amsterdam-1");
  const [remote] = well.health.remotes;
  assert(remote);
  const dead = { ...remote, dataPath: "dead", decision: "demote" } as const;
  const cutOff = { ...agent("amsterdam-2"), health: { suspectsItself: false, remotes: [dead] } };
  const [osaka] = seen({ statuses: [mirror([followed]), well, cutOff] }).pairs;
  assert.deepEqual([osaka?.dataPath.state, osaka?.dataPath.decisions], ["dead", ["demote at amsterdam-2"]]);
});

test("probes and connections of a pair are those of all its nodes, as far as they count", () => {
  const counting = (node: string, silent: number): AgentStatus => {
    const one = agent(node);
    const connections = { started: 10, established: 10 - silent, refused: 0, silent };
    const remotes = one.health.remotes.map((remote) => ({ ...remote, targets: 4, answered: 3, connections }));
    return { ...one, health: { suspectsItself: false, remotes } };
  };
  const [osaka] = seen({ statuses: [mirror([followed]), counting("a", 1), counting("b", 2)] }).pairs;
  const connections = { started: 20, established: 17, refused: 0, silent: 3 };
  assert.deepEqual(osaka?.dataPath, { state: "alive", decisions: [], targets: 8, answered: 6, connections });
});

test("a pair is what the mirror says of the remote and what its nodes heard and found", () => {
  const held = {
    ...followed,
    holds: [{ kind: "ip", state: "held", keys: 9, withdrawals: 9, ageMs: 1, example: "k" }],
  } as const;
  const { pairs, clusters } = seen({ statuses: [mirror([held, lost]), { ...agent("amsterdam-1"), ageMs: 250 }] });
  assert.deepEqual(
    pairs.map(({ from, to }) => [from, to]),
    [
      ["amsterdam", "osaka"],
      ["amsterdam", "virginia"],
    ],
  );
  const [osaka, virginia] = pairs;
  assert.deepEqual([osaka?.mirror?.grade, osaka?.mirror?.ageMs, osaka?.mirror?.breaker], ["fresh", 420, "closed"]);
  assert.deepEqual([osaka?.mirror?.entries, osaka?.mirror?.held], [5_366, 9]);
  const [uncounted] = seen({ statuses: [mirror([{ ...followed, entries: { ip: 5_003 } }])] }).pairs;
  assert(uncounted?.mirror && !("entries" in uncounted.mirror), "it is not known how many there are");
  assert.deepEqual(osaka?.nodes, [{ node: "amsterdam-1", controlPlane: "talking", grade: "fresh" }]);
  assert.deepEqual(virginia?.nodes, [], "that node heard nothing of it");
  assert.deepEqual([virginia?.mirror?.grade, virginia?.mirror?.breaker], ["suspect", "open"]);
  assert.equal(virginia?.mirror?.lastError, lost.lastError);
  assert.deepEqual(osaka?.dataPath, { state: "alive", decisions: [], targets: 4, answered: 4 });
  assert.deepEqual(virginia?.dataPath, { state: "not probed", decisions: [], targets: 0, answered: 0 });
  const [amsterdam, ...others] = clusters;
  assert.deepEqual([amsterdam?.lagMs, amsterdam?.queued, amsterdam?.elsewhere], [250, 3, false]);
  assert.deepEqual(
    others.map(({ name, elsewhere, programs }) => [name, elsewhere, programs]),
    [
      ["osaka", true, []],
      ["virginia", true, []],
    ],
  );
});

test("of a mirror that is silent the nodes still tell the grade; a mirror that leads goes before one that waits", () => {
  const silent = [{ socket: "amsterdam/kvstoremesh.sock", error: "connect ECONNREFUSED" }];
  const { pairs, clusters } = seen({ statuses: [agent("amsterdam-1")], silent });
  assert.deepEqual([pairs.length, pairs[0]?.mirror, pairs[0]?.nodes[0]?.grade], [1, undefined, "fresh"]);
  assert.deepEqual(clusters[0]?.programs, [
    { name: "agent amsterdam-1", state: "well", detail: "connected, synced" },
    { name: "kvstoremesh", state: "silent", detail: "connect ECONNREFUSED" },
  ]);
  const standby = mirror([{ ...followed, grade: "unproven" }], { leader: false });
  const two = seen({ statuses: [standby, mirror([followed])] });
  assert.deepEqual([two.pairs.length, two.pairs[0]?.mirror?.grade], [1, "fresh"]);
});

test("programs are well, wait, lag behind or are silent, and never more than they say", () => {
  const exporter: ExporterStatus = { ...base, program: "exporter", leader: true, synced: true, queued: 0, entries: {} };
  const stateOf = (status: ExporterStatus | MirrorStatus | AgentStatus): string | undefined =>
    seen({ statuses: [status] }).clusters.find(({ name }) => name === "amsterdam")?.programs[0]?.state;
  assert.equal(stateOf(exporter), "well");
  assert.equal(stateOf({ ...exporter, synced: false }), "behind");
  assert.equal(stateOf({ ...exporter, leader: false }), "idle");
  assert.equal(stateOf(mirror([])), "well");
  assert.equal(stateOf(mirror([], { leader: false })), "idle");
  assert.equal(stateOf({ ...agent("a"), connected: false }), "behind");
  assert.equal(stateOf({ ...agent("a"), synced: false }), "behind");
});

test("holds, values that are set aside and problems are rows of whom they are; what is beyond is counted", () => {
  const hold = { kind: "ip", state: "held", keys: 9, withdrawals: 9, ageMs: 1, example: "k" } as const;
  const value = { remote: "osaka", key: "k", reason: "bad-name", detail: "d" };
  const problems = Array.from({ length: 250 }, (_, at) => `line ${at}`);
  const state = seen({
    statuses: [mirror([{ ...followed, holds: [hold, { ...hold, kind: "nodes" }] }], { problems })],
    setAside: new Map([["amsterdam", [value]]]),
  });
  assert.deepEqual(state.holds.rows[0], { ...hold, cluster: "amsterdam", remote: "osaka" });
  assert.equal(state.holds.total, 2);
  assert.deepEqual(state.setAside, { rows: [{ ...value, cluster: "amsterdam" }], total: 1 });
  assert.deepEqual([state.problems.rows.length, state.problems.total], [200, 250]);
  assert.deepEqual(state.problems.rows[0], { cluster: "amsterdam", program: "kvstoremesh", line: "line 0" });
});

test("services: global ones first, a view for each cluster, backends by cluster with their reasons", () => {
  const osaka = { ...agent("osaka-1"), cluster: "osaka" };
  const { rows, total } = pageServices([agent("amsterdam-1"), agent("amsterdam-2"), osaka, mirror([])]);
  assert.equal(total, 2);
  const [cart, empty] = rows;
  assert.deepEqual([cart?.name, cart?.global, empty?.name, empty?.global], ["shop/cart", true, "shop/empty", false]);
  assert.deepEqual(
    cart?.views.map(({ cluster, nodes }) => [cluster, nodes]),
    [
      ["amsterdam", ["amsterdam-1", "amsterdam-2"]],
      ["osaka", ["osaka-1"]],
    ],
  );
  assert.deepEqual(cart?.views[0]?.frontends, ["10.101.0.10:80/TCP+UDP"]);
  assert.deepEqual(cart?.views[0]?.backends.rows[1], {
    cluster: "osaka",
    address: "10.2.1.10:8080/TCP",
    used: false,
    why: "affinity local: local backends exist",
  });
  assert.deepEqual(cart?.clusters, [
    { cluster: "amsterdam", used: 1, all: 1 },
    { cluster: "osaka", used: 0, all: 1 },
  ]);
});

test("more services than a page bears are counted, and those of all clusters are kept", () => {
  const [cart] = agent("a").services;
  assert(cart);
  const many = Array.from({ length: 700 }, (_, at) => ({ ...cart, name: `alone-${at}`, global: false }));
  const { rows, total } = pageServices([{ ...agent("a"), services: [...many, cart] }]);
  assert.deepEqual([rows.length, total, rows[0]?.name], [500, 701, "shop/cart"]);
});
