import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CODES, readQuestion } from "../../deploy/lab/workload/dns-message.ts";
import { ServiceNames } from "../../deploy/lab/workload/service-names.ts";
import type { PagedListing } from "../../src/follow/list.ts";
import type { KeyValue, WatchEvent } from "../../src/kv/client.ts";
import { LOCAL_SERVICES_PREFIX, localServicesCanary } from "../../src/wire/keys.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";

function kv(key: string, value: Uint8Array = new Uint8Array()): KeyValue {
  return { key, value, createRevision: 1, modRevision: 1, version: 1, leaseId: 0n };
}

function service(name: string, ...addresses: readonly string[]): KeyValue {
  const port = { name: "http", protocol: "TCP", port: 80 } as const;
  const frontends = new Map(addresses.map((address) => [address, [port]]));
  const rest = { backends: new Map(), global: false, shared: false, affinity: "none" } as const;
  const value = encodeLocalService({ namespace: "demo", name, frontends, ...rest });
  return kv(`${LOCAL_SERVICES_PREFIX}demo/${name}`, value);
}

const CANARY = kv(localServicesCanary("osaka"));

function listing(services: readonly KeyValue[], canary = true): PagedListing {
  return { revision: 5, clusterId: 1n, first: [services], pages: [{ range: 1, kvs: canary ? [CANARY] : [] }] };
}

/** A query as a resolver sends it. */
function query(name: string, type = 1): Uint8Array {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  const header = Buffer.from([0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

/** The code of an answer, and how many addresses it holds. */
function told(names: ServiceNames, name: string, type?: number): readonly [number, number] {
  const answer = names.answer(query(name, type));
  assert.ok(answer);
  return [(answer[3] ?? 0) & 0xf, answer[7] ?? 0];
}

async function following(...services: readonly KeyValue[]): Promise<ServiceNames> {
  const names = new ServiceNames("osaka");
  await names.listed(listing(services));
  return names;
}

describe("names of services", () => {
  test("Node's own resolver reads the answers, in both families", async () => {
    const names = await following(service("hello", "10.78.1.10", "fd00::10"));
    const socket = createSocket("udp4");
    socket.on("message", (message, from) => {
      const answer = names.answer(message);
      if (answer) socket.send(answer, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${socket.address().port}`]);
    for (const name of ["hello.demo", "HELLO.demo.svc", "hello.demo.svc.cluster.local"]) {
      assert.deepEqual(await resolver.resolve4(name), ["10.78.1.10"]);
      assert.deepEqual(await resolver.resolve6(name), ["fd00::10"]);
    }
    await assert.rejects(resolver.resolve4("ledger.demo"), { code: "ENOTFOUND" });
    await assert.rejects(resolver.resolve4("hello.demo.example"), { code: "ENOTFOUND" });
    socket.close();
  });

  test("a name that has no address of the family asked for is there all the same", async () => {
    const names = await following(service("hello", "10.78.1.10"));
    assert.deepEqual(told(names, "hello.demo", 28), [CODES.ok, 0]);
    assert.deepEqual(told(names, "hello.demo", 16), [CODES.ok, 0]);
  });

  test("nobody is told that a name does not exist before all of them are known", async () => {
    const names = new ServiceNames("osaka");
    assert.deepEqual(told(names, "hello.demo"), [CODES.failure, 0]);
    await names.listed(listing([service("hello", "10.78.1.10")], false));
    assert.deepEqual(told(names, "hello.demo"), [CODES.ok, 1]);
    assert.deepEqual(told(names, "ledger.demo"), [CODES.failure, 0]);
    names.changed(1, [{ type: "put", kv: CANARY }]);
    assert.deepEqual(told(names, "ledger.demo"), [CODES.noName, 0]);
  });

  test("a deletion takes a name away; silence and an etcd that lost everything do not", async () => {
    const names = await following(service("hello", "10.78.1.10"), service("ledger", "10.78.1.11"));
    names.lost();
    await names.listed(listing([], false));
    assert.deepEqual(told(names, "hello.demo"), [CODES.ok, 1]);
    const gone: WatchEvent = { type: "delete", key: `${LOCAL_SERVICES_PREFIX}demo/ledger`, modRevision: 9 };
    names.changed(0, [gone]);
    assert.deepEqual(told(names, "ledger.demo"), [CODES.noName, 0]);
    await names.listed(listing([]));
    assert.deepEqual(told(names, "hello.demo"), [CODES.noName, 0]);
  });

  test("a value that cannot be read leaves the last good one", async () => {
    const names = await following(service("hello", "10.78.1.10"));
    const broken = kv(`${LOCAL_SERVICES_PREFIX}demo/hello`, new Uint8Array([1]));
    names.changed(0, [{ type: "put", kv: broken }]);
    assert.deepEqual(told(names, "hello.demo"), [CODES.ok, 1]);
  });
});

describe("queries", () => {
  const good = query("hello.demo");
  for (const [what, bytes, expected] of [
    ["too short", good.subarray(0, 11), undefined],
    ["an answer", good.with(2, 0x80), undefined],
    ["another operation", good.with(2, 0x10), CODES.notImplemented],
    ["two questions", good.with(5, 2), CODES.badFormat],
    ["a name that points elsewhere", good.with(12, 0xc0), CODES.badFormat],
    ["a name without an end", good.subarray(0, 20), CODES.badFormat],
    ["no type", good.subarray(0, good.length - 3), CODES.badFormat],
    ["another class", good.with(good.length - 1, 3), CODES.notImplemented],
  ] as const) {
    test(`${what}: ${expected === undefined ? "no answer" : `code ${expected}`}`, () => {
      const question = readQuestion(bytes);
      assert.equal(question && ("code" in question ? question.code : "a question"), expected);
    });
  }

  test("no bytes throw, and no answer is longer than a plain datagram", async () => {
    const many = Array.from({ length: 40 }, (_, index) => `10.78.1.${index + 1}`);
    const names = await following(service("hello", ...many));
    assert.ok((names.answer(good)?.length ?? 0) <= 512);
    assert.deepEqual(told(names, "hello.demo"), [CODES.ok, 15]);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (any) => (names.answer(any)?.length ?? 0) <= 512));
    const noise = fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }));
    fc.assert(fc.property(noise, ([at, byte]) => (names.answer(good.with(at, byte))?.length ?? 0) <= 512));
  });
});
