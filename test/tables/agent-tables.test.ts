import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Cluster } from "../../src/model/cluster.ts";
import type { Policy } from "../../src/model/policy.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import type { IpClaim } from "../../src/tables/tables-view.ts";
import { CLUSTERS, internal, nodeOf, OSAKA, OWN, pod, VIRGINIA } from "./world.ts";

const ADDRESSES = ["10.1.0.1", "10.1.0.2", "fd00::1"] as const;
const HTTP = { name: "http", port: 80, protocol: "TCP" } as const;
const DNS = { name: "dns", port: 53, protocol: "UDP" } as const;
const step = fc.record({
  cluster: fc.constantFrom(...CLUSTERS),
  kind: fc.constantFrom("ip" as const, "ip" as const, "local-ip" as const),
  address: fc.constantFrom(...ADDRESSES),
  identity: fc.integer({ min: 256, max: 258 }),
  namedPorts: fc.subarray([HTTP, { ...HTTP, port: 8080 }, DNS]),
  verb: fc.constantFrom("put", "put", "put", "remove", "mark", "sweep", "renumber"),
});

/** One claim per cluster, own first: what everybody may see before what only the own agents may. */
function claimsOf(model: ReadonlyMap<string, IpClaim>, address: string): readonly IpClaim[] {
  const rank = ({ clusterId }: IpClaim): number => (clusterId === OWN.id ? 0 : clusterId);
  const said = [...model].filter(([key]) => {
    const [cluster, kind, at] = key.split(" ");
    return at === address && (kind === "ip" || !model.has(`${cluster} ip ${at}`));
  });
  return said.map(([, claim]) => claim).sort((left, right) => rank(left) - rank(right));
}

test("the claims of an address, and named ports, are those of the clusters that hold it, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const tables = new AgentTables(OWN);
      const model = new Map<string, IpClaim>();
      const unseen = new Set<string>();
      const ids = new Map(CLUSTERS.map(({ name, id }) => [name, id]));
      for (const { cluster, kind: asked, address, identity, namedPorts, verb } of steps) {
        const kind = cluster === OWN ? asked : "ip";
        const source = `${cluster.name} ${kind} `;
        const key = source + address;
        const now: Cluster = { name: cluster.name, id: ids.get(cluster.name) ?? 0 };
        if (verb === "put") {
          tables.putIp(now, address, pod(identity, { namedPorts }), kind);
          model.set(key, { clusterId: now.id, ...pod(identity, { namedPorts }) });
          unseen.delete(key);
        } else if (verb === "remove") {
          tables.remove(cluster.name, kind, address);
          model.delete(key);
          unseen.delete(key);
        } else if (verb === "mark") {
          tables.mark();
          for (const held of model.keys()) unseen.add(held);
        } else if (verb === "sweep") {
          tables.sweep(now, kind);
          for (const gone of unseen) if (gone.startsWith(source)) model.delete(gone) && unseen.delete(gone);
        } else if (cluster !== OWN) ids.set(cluster.name, now.id + 10);
      }
      const claims = ADDRESSES.flatMap((address) => claimsOf(model, address));
      for (const address of ADDRESSES) assert.deepEqual(tables.ipClaims(address), claimsOf(model, address));
      for (const identity of [256, 257, 258]) {
        const ports = claims.filter((claim) => claim.identity === identity).flatMap(({ namedPorts }) => namedPorts);
        const texts = new Set(ports.map((port) => JSON.stringify(port)));
        assert.deepEqual(new Set(tables.namedPorts(identity).map((port) => JSON.stringify(port))), texts);
        assert.equal(tables.namedPorts(identity).length, texts.size);
      }
    }),
    { numRuns: 300 },
  );
});

test("a row that is put again as it was is no change", () => {
  const tables = new AgentTables(OWN);
  const changed = () => {
    const { addresses, namedPorts } = tables.takeChanges();
    return [[...addresses], [...namedPorts]];
  };
  tables.putIp(OSAKA, "10.1.0.1", pod(700, { namedPorts: [HTTP] }));
  tables.putIp(VIRGINIA, "10.1.0.1", pod(700));
  assert.deepEqual(changed(), [["10.1.0.1"], [700]]);
  tables.putIp(OSAKA, "10.1.0.1", pod(700, { namedPorts: [{ ...HTTP }] }));
  assert.deepEqual(changed(), [[], []]);
  tables.putIp(OSAKA, "10.1.0.1", pod(701, { namedPorts: [HTTP] }));
  assert.deepEqual(changed(), [["10.1.0.1"], [700, 701]]);
  tables.putIp({ ...OSAKA, id: 9 }, "10.1.0.1", pod(701));
  assert.deepEqual(changed(), [["10.1.0.1"], [701]]);
  tables.putIp(VIRGINIA, "10.1.0.1", pod(700, { podName: "other" }));
  assert.deepEqual(changed(), [["10.1.0.1"], []]);
});

test("named ports are counted by address, and come sorted", () => {
  const tables = new AgentTables(OWN);
  tables.putIp(OSAKA, "10.1.0.1", pod(700, { namedPorts: [{ ...HTTP, port: 8080 }, DNS] }));
  tables.putIp(OSAKA, "10.1.0.2", pod(700, { namedPorts: [HTTP, DNS] }));
  assert.deepEqual(tables.namedPorts(700), [DNS, HTTP, { ...HTTP, port: 8080 }]);
  tables.remove(OSAKA.name, "ip", "10.1.0.1");
  assert.deepEqual(tables.namedPorts(700), [DNS, HTTP]);
  tables.remove(OSAKA.name, "ip", "10.1.0.2");
  assert.deepEqual(tables.namedPorts(700), []);
});

const web = { source: "k8s", key: "app", value: "web" };
const shop = { source: "k8s", key: "app", value: "shop" };
const idOf = ({ id }: Cluster, low = 300): number => id * 65_536 + low;

test("identities: other labels are a change, the same ones are not; what everybody may see counts first", () => {
  const tables = new AgentTables(OWN);
  const id = idOf(OWN);
  const changed = () => [...tables.takeChanges().identities];
  tables.putIdentity(OWN, { id, labels: [shop] }, "local-identities");
  tables.putIdentity(OSAKA, { id: idOf(OSAKA), labels: [web] });
  assert.deepEqual(changed(), [id, idOf(OSAKA)]);
  assert.deepEqual(tables.identity(id)?.labels, [shop]);
  tables.putIdentity(OWN, { id, labels: [web] });
  assert.deepEqual(tables.identity(id)?.labels, [web]);
  assert.deepEqual(tables.contradictions(), [id]);
  assert.deepEqual([...tables.identities()].map((identity) => identity.id).sort(), [idOf(OSAKA), id].sort());
  assert.deepEqual(changed(), [id]);
  tables.putIdentity(OSAKA, { id: idOf(OSAKA), labels: [{ ...web }] });
  assert.deepEqual(changed(), []);
  tables.remove(OWN.name, "identities", String(id));
  assert.deepEqual([changed(), tables.identity(id)?.labels, tables.contradictions()], [[id], [shop], []]);
  tables.remove(OWN.name, "local-identities", String(id));
  assert.deepEqual([changed(), tables.identity(id)], [[id], undefined]);
});

test("a cluster id names one cluster: its heir does not inherit identities, a renumbered cluster keeps the old ones", () => {
  const tables = new AgentTables(OWN);
  const id = idOf(OSAKA);
  tables.putIdentity(OSAKA, { id, labels: [web] });
  tables.setClusters([OWN, { ...OSAKA, id: 9 }]);
  tables.takeChanges();
  assert.deepEqual(
    [tables.clusterName(1), tables.clusterName(9), tables.identity(id)?.labels],
    ["osaka", "osaka", [web]],
  );
  tables.putIdentity({ name: "kyoto", id: 1 }, { id: idOf(OSAKA, 301), labels: [shop] });
  assert.deepEqual([tables.clusterName(1), tables.identity(id)], ["kyoto", undefined]);
  const { identities, sources } = tables.takeChanges();
  assert.deepEqual([[...identities].sort(), sources], [[id, idOf(OSAKA, 301)], true]);
  assert.deepEqual(
    [...tables.identities()].map((identity) => identity.id),
    [idOf(OSAKA, 301)],
  );
  tables.setClusters([OWN]);
  assert.deepEqual([[...tables.clusters()], [...tables.identities()], tables.clusterName(0)], [[OWN], [], undefined]);
});

const policy: Policy = {
  kind: "NetworkPolicy",
  namespace: "shop",
  name: "web",
  source: "a.yaml:1",
  audit: false,
  specs: [],
};

test("policies, nodes, audited pods and the network: a change is said once, and only when it is one", () => {
  const tables = new AgentTables(OWN);
  const put = (audit: boolean, address: string): void => {
    tables.putPolicy({ ...policy, audit });
    tables.putNode(
      OSAKA,
      nodeOf(OSAKA, "n1", { addresses: [internal(address)], labels: new Map([["zone", address]]) }),
    );
    tables.putEndpoint({ namespace: "shop", name: "web", audit });
    tables.setNetwork({ devices: [{ ifindex: 7, name: "veth1", addresses: [address] }], ownAddresses: ["172.16.0.1"] });
  };
  const changed = () => {
    const { policies, nodes, devices } = tables.takeChanges();
    return [[...policies], nodes, devices];
  };
  put(true, "10.1.0.1");
  assert.deepEqual(changed(), [["NetworkPolicy/shop/web"], true, true]);
  assert.deepEqual([tables.policy("NetworkPolicy/shop/web")?.audit, tables.isAudited("shop/web")], [true, true]);
  const { revision } = tables;
  put(true, "10.1.0.1");
  assert.deepEqual([changed(), tables.revision], [[[], false, false], revision]);
  put(false, "10.1.0.2");
  assert.deepEqual(changed(), [["NetworkPolicy/shop/web"], true, true]);
  assert.deepEqual([tables.isAudited("shop/web"), tables.devices()[0]?.addresses], [false, ["10.1.0.2"]]);
  tables.mark();
  for (const kind of ["policies", "nodes", "endpoints"] as const) tables.sweep(OWN, kind);
  assert.deepEqual(
    [[...tables.policies()], [...tables.nodes()].length],
    [[], 1],
    "osaka's nodes are not swept with ours",
  );
  tables.sweep(OSAKA, "nodes");
  assert.deepEqual([[...tables.nodes()], changed()], [[], [["NetworkPolicy/shop/web"], true, true]]);
});
