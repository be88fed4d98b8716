// Session affinity by real sockets: one client, one backend, for as long as the service says and the backend is there.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { LoadedObject } from "../../src/kernel/door.ts";
import {
  type AffinityKey,
  type AffinityValue,
  decodeAffinityKey,
  decodeAffinityValue,
  encodeAffinityKey,
  encodeAffinityValue,
} from "../../src/maps/affinity-map.ts";
import type { Answer, Request } from "./actor.ts";
import { backendEntry, bytesOf, entriesOf, mapOf, numberOf, type Place, serviceEntries } from "./entries.ts";
import { type Actor, read, run, Stage } from "./stage.ts";

const SERVICE = { v4: "172.20.0.10", v6: "fd00:20::10" } as const;
const SERVERS = [
  { name: "a", v4: "10.1.0.1", v6: "fd00:1::1" },
  { name: "b", v4: "10.1.0.2", v6: "fd00:1::2" },
  { name: "c", v4: "10.1.0.3", v6: "fd00:1::3" },
] as const;
const ALL = [0, 1, 2] as const;
const SERVER_PORT = 8080;
const PORT = 80;
/** Services side by side: that two clients are given the same backend by all of them happens once in 10^9 runs. */
const PORTS = Array.from({ length: 20 }, (_, index) => 100 + index);
const SECONDS = 600;
const SECOND_NS = 1_000_000_000n;
/** All three servers are missing from 60 random choices once in 10^10 runs. */
const TRIES = 60;

type Family = keyof typeof SERVICE;
type Protocol = Place["protocol"];

let stage: Stage;
let object: LoadedObject;
let client: Actor;
let neighbour: Actor;

/** A network namespace of its own, from which the servers can be reached. */
function startNeighbour(): Actor {
  const pod = stage.addPod();
  stage.addVeth("veth0", pod, ["10.9.0.2/24", "fd00:9::2/64"]);
  run("ip", "-n", stage.name, "addr", "add", "10.9.0.1/24", "dev", "veth0");
  run("ip", "-n", stage.name, "addr", "add", "fd00:9::1/64", "dev", "veth0", "nodad");
  run("ip", "-n", pod, "route", "add", "default", "via", "10.9.0.1");
  run("ip", "-n", pod, "-6", "route", "add", "default", "via", "fd00:9::1");
  assert.match(read("ip", "-n", pod, "route"), /default via/);
  return stage.actor("inside", pod);
}

before(async () => {
  stage = new Stage();
  object = await stage.load();
  client = stage.actor("inside");
  neighbour = startNeighbour();
  const outside = stage.actor("outside");
  for (const { name, v4, v6 } of SERVERS) {
    for (const host of [v4, v6]) {
      stage.addAddress(host);
      for (const ask of ["serve-tcp", "serve-udp"] as const) {
        assert.deepEqual(await outside.ask({ ask, host, port: SERVER_PORT, name }), {});
      }
    }
  }
  await object.attachCgroup(stage.cgroup);
});

after(() => stage.close());

/** Backend ids of the servers. */
function idsOf(family: Family, protocol: Protocol): readonly number[] {
  const first = 1 + 3 * ((family === "v4" ? 0 : 1) + (protocol === "TCP" ? 0 : 2));
  return ALL.map((index) => first + index);
}

interface Wishes {
  readonly servers?: readonly number[];
  readonly seconds?: number;
  readonly port?: number;
}

/** The service has these servers, in this order of slots. */
async function program(family: Family, protocol: Protocol, { servers = ALL, seconds = SECONDS, port = PORT }: Wishes) {
  const ids = idsOf(family, protocol);
  const place = (index: number): Place => {
    return { address: SERVERS[index]?.[family] ?? "", port: SERVER_PORT, protocol };
  };
  await mapOf(object, "backends").update(entriesOf(ids.map((id, index) => backendEntry(id, place(index)))));
  const frontend = { address: SERVICE[family], port, protocol };
  const slots = servers.map((index) => ids[index] ?? 0);
  await mapOf(object, "services").update(entriesOf(serviceEntries(frontend, slots, seconds)));
}

type Affinity = AffinityKey & AffinityValue;

async function affinities(): Promise<readonly Affinity[]> {
  const { keys, values, count } = await mapOf(object, "affinities").dump();
  return Array.from({ length: count }, (_, index) => ({
    ...decodeAffinityKey(keys.subarray(index * 48, index * 48 + 48)),
    ...decodeAffinityValue(values.subarray(index * 16, index * 16 + 16)),
  }));
}

/** The only client's: as if it had been used so much earlier. */
async function age(seconds: number): Promise<void> {
  const [one, ...others] = await affinities();
  assert(one !== undefined && others.length === 0);
  const value = encodeAffinityValue({ ...one, usedNs: one.usedNs - BigInt(seconds) * SECOND_NS });
  await mapOf(object, "affinities").update(entriesOf([[encodeAffinityKey(one), value]]));
}

beforeEach(async () => {
  const { keys, count } = await mapOf(object, "affinities").dump();
  await mapOf(object, "affinities").remove(keys, count);
});

type Ask = "tcp" | "udp-connected" | "udp-sendto";

interface Case {
  readonly ask: Ask;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly host: string;
}

const CASES: readonly Case[] = (["tcp", "udp-connected", "udp-sendto"] as const).flatMap((ask) => {
  const protocol = ask === "tcp" ? "TCP" : "UDP";
  return [
    { ask, protocol, family: "v4", host: SERVICE.v4 },
    { ask, protocol, family: "v6", host: SERVICE.v6 },
    { ask, protocol, family: "v4", host: `::ffff:${SERVICE.v4}` },
  ] as const;
});

async function met(who: Actor, { ask, host }: Case, port: number, times = TRIES): Promise<readonly string[]> {
  const names = new Set<string>();
  for (let index = 0; index < times; index++) {
    const { name, error } = await who.ask({ ask, host, port } satisfies Request as Request);
    assert.equal(error, undefined);
    names.add(name ?? "");
  }
  return [...names].sort();
}

const indexOf = (name: string | undefined): number => SERVERS.findIndex((server) => server.name === name);

for (const each of CASES) {
  const { ask, family, protocol, host } = each;
  describe(`${ask} to ${host}`, () => {
    test("a client keeps its backend; of a service without affinity it meets all", async () => {
      await program(family, protocol, {});
      assert.equal((await met(client, each, PORT)).length, 1);
      await program(family, protocol, { seconds: 0 });
      assert.equal((await met(client, each, PORT)).length, 3);
    });

    test("until it has not come for as long as the service says: then it chooses again, and keeps that", async () => {
      await program(family, protocol, {});
      const [first] = await met(client, each, PORT, 1);
      for (let times = 0; times < TRIES; times++) {
        await age(SECONDS - 60);
        assert.deepEqual(await met(client, each, PORT, 1), [first], "every connection begins the time anew");
      }
      let next = first;
      for (let times = 0; times < TRIES && next === first; times++) {
        await age(SECONDS + 1);
        [next] = await met(client, each, PORT, 1);
      }
      assert.notEqual(next, first);
      assert.deepEqual(await met(client, each, PORT), [next]);
    });

    test("a backend that goes is left, and one that returns is not missed; others may go and move", async () => {
      await program(family, protocol, {});
      const first = indexOf((await met(client, each, PORT, 1))[0]);
      await program(family, protocol, { servers: ALL.filter((index) => index !== first) });
      const [name, ...more] = await met(client, each, PORT);
      const second = indexOf(name);
      assert.notEqual(second, first);
      assert.deepEqual(more, []);
      await program(family, protocol, {});
      assert.deepEqual(await met(client, each, PORT), [name]);
      const third = ALL.find((index) => index !== first && index !== second) ?? 0;
      await program(family, protocol, { servers: [third, first, first, second] });
      assert.deepEqual(await met(client, each, PORT), [name], "in another slot");
      await program(family, protocol, { servers: [first, third] });
      assert.notDeepEqual(await met(client, each, PORT, 1), [name]);
    });
  });
}

for (const each of CASES.filter(({ ask, host }) => ask !== "udp-sendto" && !host.startsWith("::ffff"))) {
  test(`${each.ask} over ${each.family}: clients are network namespaces, and each service has its own affinity`, async () => {
    for (const port of PORTS) await program(each.family, each.protocol, { port });
    const ask = async (who: Actor): Promise<readonly string[]> => {
      const names: string[] = [];
      for (const port of PORTS) names.push((await met(who, each, port, 1))[0] ?? "");
      return names;
    };
    const [mine, others] = [await ask(client), await ask(neighbour)];
    assert.notDeepEqual(mine, others);
    assert.deepEqual([await ask(client), await ask(neighbour)], [mine, others]);
    assert.equal(new Set(mine).size, 3, "one service's choice is not another's");
    const known = await affinities();
    assert.equal(known.length, 2 * PORTS.length);
    assert.equal(new Set(known.map(({ cookie }) => cookie)).size, 2);
    for (const { service, protocol, client: address } of known) {
      assert.deepEqual([service, protocol], [bytesOf(SERVICE[each.family]), numberOf(each.protocol)]);
      assert.deepEqual(address, new Uint8Array(16));
    }
  });
}

for (const host of [SERVICE.v4, SERVICE.v6]) {
  test(`a session of an unconnected socket to ${host} goes on, whatever its client was given meanwhile`, async () => {
    const family = host === SERVICE.v4 ? "v4" : "v6";
    const again = (): Promise<Answer> => client.ask({ ask: "udp-again", host, port: PORT });
    await program(family, "UDP", {});
    const { name } = await again();
    const [before_] = await affinities();
    assert.equal((await again()).name, name);
    const [later] = await affinities();
    assert((later?.usedNs ?? 0n) > (before_?.usedNs ?? 0n), "datagrams begin the time anew");
    const other = ALL.find((index) => index !== indexOf(name)) ?? 0;
    const backendId = idsOf(family, "UDP")[other] ?? 0;
    assert(later !== undefined);
    const given = encodeAffinityValue({ ...later, backendId, slot: other + 1 });
    await mapOf(object, "affinities").update(entriesOf([[encodeAffinityKey(later), given]]));
    assert.equal((await again()).name, name, "its session");
    const [kept] = await affinities();
    assert.equal(kept?.backendId, backendId);
    assert.equal((await client.ask({ ask: "udp-sendto", host, port: PORT })).name, SERVERS[other]?.name);
    await client.ask({ ask: "release", host, port: 0 });
  });
}
