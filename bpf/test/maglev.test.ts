// Maglev on two nodes of two clusters, programmed as their agents would: the same flow meets the same backend, also when nobody remembers it.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { KernelMap } from "../../src/kernel/door.ts";
import type { Candidate } from "../../src/lb/backend.ts";
import { lookupTable } from "../../src/lb/maglev.ts";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import type { LocalService } from "../../src/model/resource.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, keyBytes } from "../../src/tables/desired-map.ts";
import { bytesOf, entriesOf } from "./entries.ts";
import { PROTOCOL, readPacket, TCP, tcpPacket, udpPacket, wireHex } from "./packets.ts";
import { POD, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const AMSTERDAM: Cluster = { name: "amsterdam", id: 1 };
const OSAKA: Cluster = { name: "osaka", id: 2 };
const SERVICE = { v4: "172.20.0.10", v6: "fd00:20::10" } as const;
const BACKENDS = {
  v4: { amsterdam: ["10.3.0.1", "10.3.0.2", "10.3.0.3"], osaka: ["10.4.0.2", "10.4.0.1"] },
  v6: { amsterdam: ["fd00:3::1", "fd00:3::2", "fd00:3::3"], osaka: ["fd00:4::2", "fd00:4::1"] },
} as const;
const PORTS = [
  { name: "web", protocol: "TCP", port: 8080 },
  { name: "quic", protocol: "UDP", port: 8080 },
] as const;
const SERVICE_PORTS = PORTS.map((port) => ({ ...port, port: 443 }));
const SIZE = 251;
const FLOWS = Array.from({ length: 200 }, (_, index) => 20_000 + 7 * index);
const SEED = 0x6d61676c;

type Family = keyof typeof SERVICE;
type Protocol = "TCP" | "UDP";

interface Node {
  readonly stage: Stage;
  readonly scene: Scene;
}

let nodes: readonly Node[] = [];

async function startNode(): Promise<Node> {
  const stage = new Stage();
  return { stage, scene: await Scene.open(stage) };
}

before(async () => {
  nodes = [await startNode(), await startNode()];
});
after(async () => {
  for (const { stage } of nodes) await stage.close();
});
beforeEach(async () => {
  for (const { scene } of nodes) await scene.reset();
});

async function write(map: KernelMap, desired: DesiredMap): Promise<void> {
  await map.update(entriesOf([...desired.entries()].map(([key, value]) => [keyBytes(key), value])));
}

/** The map of a node in `own`, which heard of the clusters' backends in this order. `without`: it is gone. */
async function program(
  { scene }: Node,
  own: Cluster,
  order: readonly Cluster[],
  { without = "", ...more }: Partial<LocalService> & { readonly without?: string } = {},
): Promise<void> {
  const tables = new AgentTables(own);
  const compiler = new ServiceCompiler(tables, { algorithm: "random", tableSize: SIZE });
  const named = { namespace: "demo", name: "hello", shared: true, labels: new Map(), selector: new Map() };
  for (const cluster of order) {
    const all = [BACKENDS.v4, BACKENDS.v6].flatMap((family) => family[cluster.name as "amsterdam" | "osaka"]);
    const backends = new Map(all.filter((address) => address !== without).map((address) => [address, PORTS]));
    const frontends = new Map(Object.values(SERVICE).map((address) => [address, SERVICE_PORTS]));
    const said = { ...named, frontends, backends };
    if (cluster !== own) tables.putClusterService(cluster, { ...said, cluster: cluster.name, clusterId: cluster.id });
    else tables.putLocalService({ ...said, global: true, affinity: "none", algorithm: "maglev", ...more });
    compiler.update(tables.takeChanges());
  }
  await write(scene.map("backends"), compiler.entries.backends);
  await write(scene.map("services"), compiler.entries.services);
}

/** Where the node sends a packet of the flow. */
function sentTo(
  { scene }: Node,
  family: Family,
  protocol: Protocol,
  sourcePort: number,
  flags: number = TCP.syn,
): string {
  const ends = { source: POD[family], destination: SERVICE[family], sourcePort, destinationPort: 443 };
  const packet = protocol === "TCP" ? tcpPacket({ ...ends, flags }) : udpPacket(ends);
  const { dropped, packet: out, events } = scene.run("from_endpoint", packet);
  assert(!dropped, JSON.stringify(events));
  const { destination, checksumsRight } = readPacket(out);
  assert(checksumsRight);
  return destination;
}

async function forgetConnections({ scene }: Node): Promise<void> {
  const { keys, count } = await scene.map("conntrack").dump();
  assert(count > 0);
  await scene.map("conntrack").remove(keys, count);
}

/** Murmur3 of 32-bit words, as its author wrote it down. */
function murmur3(words: readonly number[], seed: number): number {
  const rotated = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));
  let hash = seed;
  for (const word of words) {
    hash ^= Math.imul(rotated(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
    hash = (Math.imul(rotated(hash, 13), 5) + 0xe6546b64) | 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The backend that the flow has by the words of docs/SERVICES.md. */
function foretold(family: Family, protocol: Protocol, sourcePort: number): string {
  const all = [...BACKENDS[family].osaka, ...BACKENDS[family].amsterdam];
  const more = { portName: undefined, cluster: "", clusterId: 0, own: false, port: 8080, protocol } as const;
  const table = lookupTable(
    all.map((address): Candidate => ({ ...more, address })),
    () => 1,
    SIZE,
  );
  const addresses = Buffer.concat([bytesOf(POD[family]), bytesOf(SERVICE[family])]);
  const words = Array.from({ length: 8 }, (_, index) => addresses.readUInt32BE(4 * index));
  const hash = murmur3([...words, sourcePort * 65_536 + 443, PROTOCOL[protocol]], SEED);
  return wireHex(table[hash % SIZE]?.address ?? "");
}

for (const family of ["v4", "v6"] as const) {
  for (const protocol of ["TCP", "UDP"] as const) {
    describe(`${protocol} ${family}`, () => {
      const allOf = (node: Node, flags?: number): readonly string[] =>
        FLOWS.map((sourcePort) => sentTo(node, family, protocol, sourcePort, flags));
      const both = async (): Promise<readonly [Node, Node]> => {
        const [here, there] = nodes;
        assert(here !== undefined && there !== undefined);
        await program(here, AMSTERDAM, [AMSTERDAM, OSAKA]);
        await program(there, OSAKA, [AMSTERDAM, OSAKA]);
        return [here, there];
      };

      test("two nodes of two clusters send a flow to one backend, which can be foretold", async () => {
        const [here, there] = await both();
        const found = allOf(here);
        assert.equal(new Set(found).size, 5);
        assert.deepEqual(allOf(there), found);
        assert.deepEqual(
          FLOWS.map((sourcePort) => foretold(family, protocol, sourcePort)),
          found,
        );
      });

      test("a connection that was forgotten goes on to its backend; one at random would not", async () => {
        const [here] = await both();
        const found = allOf(here);
        await forgetConnections(here);
        assert.deepEqual(allOf(here, TCP.ack), found);
        await program(here, AMSTERDAM, [AMSTERDAM, OSAKA], { algorithm: "random" });
        await forgetConnections(here);
        const drawn = allOf(here);
        await forgetConnections(here);
        assert.notDeepEqual(allOf(here, TCP.ack), drawn);
      });

      test("a backend goes: of connections that were forgotten few but its own move", async () => {
        const [here] = await both();
        const found = allOf(here);
        const gone = BACKENDS[family].osaka[0];
        await program(here, AMSTERDAM, [OSAKA, AMSTERDAM], { without: gone });
        await forgetConnections(here);
        const after_ = allOf(here, TCP.ack);
        assert(!after_.includes(wireHex(gone)));
        const others = FLOWS.keys().filter((index) => found[index] !== wireHex(gone));
        const moved = others.filter((index) => found[index] !== after_[index]).toArray();
        assert(moved.length < FLOWS.length / 10, `${moved.length} moved`);
      });

      test("session affinity goes before it", async () => {
        const [here] = nodes;
        assert(here !== undefined);
        await program(here, AMSTERDAM, [AMSTERDAM, OSAKA], { sessionAffinitySeconds: 600 });
        const found = allOf(here);
        assert.equal(found[0], foretold(family, protocol, FLOWS[0] ?? 0), "the first choice is the table's");
        assert.deepEqual(new Set(found).size, 1);
      });
    });
  }
}
