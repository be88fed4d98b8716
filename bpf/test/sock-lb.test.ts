// The socket programs against real sockets. Service addresses have no route, so that only a translation can reach a server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { LoadedObject } from "../../src/kernel/door.ts";
import type { Answer, Request } from "./actor.ts";
import { backendEntry, countersOf, entriesOf, mapOf, type Place, rowsOf, serviceEntries } from "./entries.ts";
import { type Actor, Stage } from "./stage.ts";

const V4 = "172.20.0.10";
const V6 = "fd00:20::10";
const MAPPED = `::ffff:${V4}`;
const SERVERS = [
  { name: "a", v4: "10.1.0.1", v6: "fd00:1::1" },
  { name: "b", v4: "10.1.0.2", v6: "fd00:1::2" },
  { name: "c", v4: "10.1.0.3", v6: "fd00:1::3" },
] as const;
const SERVER_PORT = 8080;
const SERVICE_PORT = 80;
const EMPTY_PORT = 81;
const HALF_GONE_PORT = 82;
const GONE_PORT = 83;
const GONE_BACKEND = 9999;
/** All three servers are missing from 60 random choices once in 10^10 runs. */
const TRIES = 60;

let stage: Stage;
let object: LoadedObject;
let inside: Actor;
let outside: Actor;

async function startServers(): Promise<void> {
  for (const { name, v4, v6 } of SERVERS) {
    for (const host of [v4, v6]) {
      stage.addAddress(host);
      assert.deepEqual(await outside.ask({ ask: "serve-tcp", host, port: SERVER_PORT, name }), {});
      assert.deepEqual(await outside.ask({ ask: "serve-udp", host, port: SERVER_PORT, name }), {});
    }
  }
}

/** For each family and protocol: a service of three backends, one of none, one half and one wholly without its backends. */
async function programServices(): Promise<void> {
  const backends: [Uint8Array, Uint8Array][] = [];
  const services: (readonly [Uint8Array, Uint8Array])[] = [];
  for (const protocol of ["TCP", "UDP"] as const) {
    for (const [address, family] of [
      [V4, "v4"],
      [V6, "v6"],
    ] as const) {
      const ids = SERVERS.map((server) => {
        const id = backends.length + 1;
        backends.push([...backendEntry(id, { address: server[family], port: SERVER_PORT, protocol })] as const as [
          Uint8Array,
          Uint8Array,
        ]);
        return id;
      });
      const frontend = (port: number): Place => ({ address, port, protocol });
      services.push(...serviceEntries(frontend(SERVICE_PORT), ids));
      services.push(...serviceEntries(frontend(EMPTY_PORT), []));
      services.push(...serviceEntries(frontend(HALF_GONE_PORT), [GONE_BACKEND, GONE_BACKEND, ids[0] ?? 0]));
      services.push(...serviceEntries(frontend(GONE_PORT), [GONE_BACKEND, GONE_BACKEND]));
    }
  }
  await mapOf(object, "backends").update(entriesOf(backends));
  await mapOf(object, "services").update(entriesOf(services));
}

before(async () => {
  stage = new Stage();
  object = await stage.load();
  inside = stage.actor("inside");
  outside = stage.actor("outside");
  await startServers();
  await programServices();
  await object.attachCgroup(stage.cgroup);
});

after(() => stage.close());

type Ask = "tcp" | "udp-connected" | "udp-sendto";

interface Case {
  readonly what: string;
  readonly ask: Ask;
  readonly host: string;
}

const CASES: readonly Case[] = (["tcp", "udp-connected", "udp-sendto"] as const).flatMap((ask) => [
  { what: `${ask} v4`, ask, host: V4 },
  { what: `${ask} v6`, ask, host: V6 },
  { what: `${ask} v4-mapped`, ask, host: MAPPED },
]);

function request({ ask, host }: Case, port: number): Request {
  return { ask, host, port };
}

/** What the socket must believe: that it talks to the service. */
function expectedPeer({ ask, host }: Case): Omit<Answer, "name"> {
  const at = `${host}|${SERVICE_PORT}`;
  if (ask === "tcp") return { peer: at };
  return ask === "udp-connected" ? { peer: at, from: at } : { from: at };
}

for (const each of CASES) {
  describe(each.what, () => {
    test("reaches every backend and sees only the service's address", async () => {
      const before = await countersOf(object);
      const names = new Set<string>();
      for (let index = 0; index < TRIES; index++) {
        const { name, ...seen } = await inside.ask(request(each, SERVICE_PORT));
        assert.deepEqual(seen, expectedPeer(each));
        names.add(name ?? "");
      }
      assert.deepEqual([...names].sort(), ["a", "b", "c"]);
      const counters = await countersOf(object);
      assert.deepEqual(counters, { ...before, translated: before.translated + TRIES });
    });

    test("outside of the cgroup there is no such address", async () => {
      const before = await countersOf(object);
      assert.deepEqual(await outside.ask(request(each, SERVICE_PORT)), { error: "ENETUNREACH" });
      assert.deepEqual(await countersOf(object), before);
    });

    test("a service without backends refuses at once", async () => {
      const before = await countersOf(object);
      assert.deepEqual(await inside.ask(request(each, EMPTY_PORT)), { error: "ECONNREFUSED" });
      assert.deepEqual(await countersOf(object), { ...before, "no-backend": before["no-backend"] + 1 });
    });

    test("a backend that is gone is passed over, all of them gone refuse", async () => {
      const before = await countersOf(object);
      for (let index = 0; index < 10; index++) {
        assert.equal((await inside.ask(request(each, HALF_GONE_PORT))).name, "a");
      }
      assert.deepEqual(await inside.ask(request(each, GONE_PORT)), { error: "ECONNREFUSED" });
      const after = await countersOf(object);
      assert.equal(after["backend-missing"], before["backend-missing"] + 1);
      assert.equal(after.translated, before.translated + 10);
    });
  });
}

test("an address or port that is no frontend passes untouched", async () => {
  const before = await countersOf(object);
  for (const { name, v4, v6 } of SERVERS) {
    for (const host of [v4, v6, `::ffff:${v4}`]) {
      const peer = `${host}|${SERVER_PORT}`;
      assert.deepEqual(await inside.ask({ ask: "tcp", host, port: SERVER_PORT }), { name, peer });
      assert.deepEqual(await inside.ask({ ask: "udp-sendto", host, port: SERVER_PORT }), { name, from: peer });
    }
  }
  assert.deepEqual(await inside.ask({ ask: "tcp", host: V4, port: 999 }), { error: "ENETUNREACH" });
  assert.deepEqual(await countersOf(object), before);
});

test("the same port of the other protocol is another service", async () => {
  const only = { address: V4, port: 84, protocol: "UDP" } as const;
  await mapOf(object, "services").update(entriesOf(serviceEntries(only, [])));
  assert.deepEqual(await inside.ask({ ask: "udp-sendto", host: V4, port: 84 }), { error: "ECONNREFUSED" });
  assert.deepEqual(await inside.ask({ ask: "tcp", host: V4, port: 84 }), { error: "ENETUNREACH" });
});

test("a v4 service with a v6 backend: a v6 socket gets there, a v4 socket cannot and is refused", async () => {
  const backend = { address: SERVERS[0].v6, port: SERVER_PORT, protocol: "TCP" } as const;
  await mapOf(object, "backends").update(entriesOf([backendEntry(500, backend)]));
  const frontend = { address: V4, port: 85, protocol: "TCP" } as const;
  await mapOf(object, "services").update(entriesOf(serviceEntries(frontend, [500])));
  const before = await countersOf(object);
  assert.deepEqual(await inside.ask({ ask: "tcp", host: V4, port: 85 }), { error: "ECONNREFUSED" });
  assert.deepEqual(await inside.ask({ ask: "tcp", host: MAPPED, port: 85 }), { name: "a", peer: `${MAPPED}|85` });
  const counted = { translated: before.translated + 1, "backend-missing": before["backend-missing"] + 1 };
  assert.deepEqual(await countersOf(object), { ...before, ...counted });
});

for (const host of [V4, V6, MAPPED]) {
  test(`a closed socket that was connected to ${host} leaves no entry behind`, async () => {
    const reverseNat = mapOf(object, "reverse_nat");
    const before = await rowsOf(reverseNat);
    const { peer } = await inside.ask({ ask: "hold", host, port: SERVICE_PORT });
    assert.equal(peer, `${host}|${SERVICE_PORT}`);
    assert.equal((await rowsOf(reverseNat)).length, before.length + 1);
    await inside.ask({ ask: "release", host, port: SERVICE_PORT });
    assert.equal((await inside.ask({ ask: "udp-connected", host, port: SERVICE_PORT })).peer, peer);
    // Sockets close in the loop's next turn: one more exchange, untranslated, comes after it.
    await inside.ask({ ask: "tcp", host: SERVERS[0].v4, port: SERVER_PORT });
    assert.deepEqual(await rowsOf(reverseNat), before);
  });
}

for (const host of [V4, V6, MAPPED]) {
  test(`datagrams of one unconnected socket to ${host} keep their backend while the service has it`, async () => {
    const name = host === V6 ? "v6" : "v4";
    const address = host === V6 ? V6 : V4;
    const ids = [601, 602, 603];
    const place = (index: number): Place => ({
      address: SERVERS[index]?.[name] ?? "",
      port: SERVER_PORT,
      protocol: "UDP",
    });
    await mapOf(object, "backends").update(entriesOf(ids.map((id, index) => backendEntry(id, place(index)))));
    const service = { address, port: 86, protocol: "UDP" } as const;
    const program = (...slots: number[]) => mapOf(object, "services").update(entriesOf(serviceEntries(service, slots)));
    const askTimes = async (times: number): Promise<string[]> => {
      const names = new Set<string>();
      for (let index = 0; index < times; index++) {
        const answered = await inside.ask({ ask: "udp-again", host, port: 86 });
        assert.equal(answered.from, `${host}|86`);
        names.add(answered.name ?? "");
      }
      return [...names];
    };
    await program(601, 602);
    const [first, ...others] = await askTimes(TRIES);
    assert.deepEqual(others, []);
    await program(601, 602, 603);
    assert.deepEqual(await askTimes(TRIES), [first], "a backend that comes takes nobody's socket");
    const chosen = SERVERS.findIndex((server) => server.name === first);
    await program(...ids.filter((_, index) => index !== chosen));
    const [next, ...more] = await askTimes(TRIES);
    assert.notEqual(next, first);
    assert.deepEqual(more, []);
    await inside.ask({ ask: "release", host, port: 0 });
  });

  test(`a socket that asked ${host} and then the backend itself sees whom it asked`, async () => {
    const direct = host === V6 ? SERVERS[0].v6 : host === V4 ? SERVERS[0].v4 : `::ffff:${SERVERS[0].v4}`;
    const ask = (to: string, port: number) => inside.ask({ ask: "udp-again", host: to, port });
    assert.equal((await ask(host, HALF_GONE_PORT)).from, `${host}|${HALF_GONE_PORT}`);
    assert.deepEqual(await ask(direct, SERVER_PORT), { name: "a", from: `${direct}|${SERVER_PORT}` });
    assert.equal((await ask(host, HALF_GONE_PORT)).from, `${host}|${HALF_GONE_PORT}`);
    const then = { host: direct, port: SERVER_PORT };
    const at = `${direct}|${SERVER_PORT}`;
    const again = await inside.ask({ ask: "udp-reconnect", host, port: HALF_GONE_PORT, then });
    assert.deepEqual(again, { name: "a", from: at, peer: at });
    await inside.ask({ ask: "release", host, port: 0 });
  });
}
