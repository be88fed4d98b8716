import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Cluster } from "../../src/model/cluster.ts";
import { AgentTables, type IpClaim } from "../../src/tables/agent-tables.ts";
import { CLUSTERS, OSAKA, OWN, VIRGINIA } from "./world.ts";

const ADDRESSES = ["10.1.0.1", "10.1.0.2", "fd00::1"] as const;
const step = fc.record({
  cluster: fc.constantFrom(...CLUSTERS),
  address: fc.constantFrom(...ADDRESSES),
  identity: fc.nat(3),
  verb: fc.constantFrom("put", "put", "put", "remove", "mark", "sweep", "renumber"),
});

test("the claims of an address are those of the clusters that hold it, own first, then by id, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const tables = new AgentTables(OWN);
      const model = new Map<string, IpClaim>();
      const unseen = new Set<string>();
      const ids = new Map(CLUSTERS.map(({ name, id }) => [name, id]));
      for (const { cluster, address, identity, verb } of steps) {
        const key = `${cluster.name} ${address}`;
        const now: Cluster = { name: cluster.name, id: ids.get(cluster.name) ?? 0 };
        if (verb === "put") {
          tables.putIp(now, address, identity);
          model.set(key, { clusterId: now.id, identity });
          unseen.delete(key);
        } else if (verb === "remove") {
          tables.remove(cluster.name, "ip", address);
          model.delete(key);
          unseen.delete(key);
        } else if (verb === "mark") {
          tables.mark();
          for (const held of model.keys()) unseen.add(held);
        } else if (verb === "sweep") {
          tables.sweep(now, "ip");
          for (const gone of unseen) if (gone.startsWith(`${cluster.name} `)) model.delete(gone) && unseen.delete(gone);
        } else if (cluster !== OWN) ids.set(cluster.name, now.id + 10);
      }
      for (const address of ADDRESSES) {
        const claims = [...model].filter(([key]) => key.endsWith(` ${address}`)).map(([, claim]) => claim);
        const rank = ({ clusterId }: IpClaim): number => (clusterId === OWN.id ? 0 : clusterId);
        assert.deepEqual(
          tables.ipClaims(address),
          claims.sort((left, right) => rank(left) - rank(right)),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test("a row that is put again as it was is no change", () => {
  const tables = new AgentTables(OWN);
  tables.putIp(OSAKA, "10.1.0.1", 7);
  tables.putIp(VIRGINIA, "10.1.0.1", 7);
  assert.deepEqual([...tables.takeChanges().addresses], ["10.1.0.1"]);
  tables.putIp(OSAKA, "10.1.0.1", 7);
  assert.deepEqual([...tables.takeChanges().addresses], []);
  tables.putIp({ ...OSAKA, id: 9 }, "10.1.0.1", 7);
  assert.deepEqual([...tables.takeChanges().addresses], ["10.1.0.1"]);
});
