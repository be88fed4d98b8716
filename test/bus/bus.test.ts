/** The same promises of a real nats-server and of the model of one. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  type BusClient,
  BusError,
  type ReadRequest,
  type StoredMessage,
  subjectMatches,
} from "../../src/bus/client.ts";
import { MemoryNats } from "../../src/bus/memory.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { TestNats } from "../support/nats.ts";

const STREAM = {
  name: "TEST",
  subjects: ["test.>"],
  maxBytes: 1024 * 1024,
  maxAgeMs: 3_600_000,
  duplicateWindowMs: 600_000,
};
const ALL: ReadRequest = { stream: "TEST", subject: "test.>", follow: false };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = ({ data }: StoredMessage): string => new TextDecoder().decode(data);

async function read(bus: BusClient, request: ReadRequest): Promise<readonly StoredMessage[]> {
  const messages: StoredMessage[] = [];
  for await (const message of bus.read(request, new AbortController().signal)) messages.push(message);
  return messages;
}

interface Server {
  readonly client: () => BusClient;
  readonly stop: () => void | Promise<void>;
  readonly start: () => void | Promise<void>;
  readonly end: () => void | Promise<void>;
}

async function real(): Promise<Server> {
  const nats = await TestNats.start();
  return {
    client: () => nats.connect(),
    stop: () => nats.kill(),
    start: () => nats.restart(),
    end: () => nats.end(),
  };
}

async function model(): Promise<Server> {
  const nats = new MemoryNats(systemClock);
  return { client: () => nats.client(), stop: () => nats.stop(), start: () => nats.start(), end() {} };
}

/** What a test works with, made before the first. */
interface Used {
  server: Server;
  bus: BusClient;
}

function takesAndGives(used: Used): void {
  test("nothing is taken before there is a stream", async () => {
    await assert.rejects(used.bus.publish({ subject: "test.a", id: "0", data: bytes("x") }), BusError);
    await assert.rejects(read(used.bus, ALL), BusError);
    await assert.rejects(used.bus.reach("TEST"), /stream not found/);
  });

  test("a message is taken once by its id, and read in order, by subject, sequence and time", async () => {
    await used.bus.ensureStream(STREAM);
    await used.bus.ensureStream(STREAM);
    await used.bus.reach("TEST");
    assert.deepEqual(await read(used.bus, ALL), []);
    const first = await used.bus.publish({ subject: "test.a.x", id: "1", data: bytes("one") });
    assert.deepEqual(first, { sequence: 1, duplicate: false });
    await used.bus.publish({ subject: "test.b.x", id: "2", data: bytes("two") });
    assert.deepEqual(await used.bus.publish({ subject: "test.a.x", id: "1", data: bytes("one") }), {
      sequence: 1,
      duplicate: true,
    });
    await new Promise((resolve) => systemClock.after(20, () => resolve(undefined)));
    const sinceMs = systemClock.wallMs();
    await used.bus.publish({ subject: "test.a.y", id: "3", data: bytes("three") });
    assert.deepEqual((await read(used.bus, ALL)).map(textOf), ["one", "two", "three"]);
    assert.deepEqual((await read(used.bus, { ...ALL, subject: "test.a.*" })).map(textOf), ["one", "three"]);
    assert.deepEqual((await read(used.bus, { ...ALL, from: { sequence: 2 } })).map(textOf), ["two", "three"]);
    assert.deepEqual((await read(used.bus, { ...ALL, from: { wallMs: sinceMs } })).map(textOf), ["three"]);
    assert.deepEqual((await read(used.bus, { ...ALL, from: { wallMs: sinceMs + 60_000 } })).map(textOf), []);
  });

  test("a follower gets what comes, until it is told to stop", async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const message of used.bus.read({ ...ALL, from: { sequence: 3 }, follow: true }, stop.signal)) {
      seen.push(textOf(message));
      if (seen.length === 1) await used.bus.publish({ subject: "test.c", id: "4", data: bytes("four") });
      if (seen.length === 2) stop.abort();
    }
    assert.deepEqual(seen, ["three", "four"]);
  });
}

function survives(used: Used): void {
  test("killed: calls and readers fail; back: it has what it took, and knows it again", async () => {
    const following = used.bus.read({ ...ALL, from: { sequence: 4 }, follow: true }, new AbortController().signal);
    assert.equal((await following.next()).value?.sequence, 4);
    const failed = assert.rejects(following.next(), BusError);
    await used.server.stop();
    await failed;
    await assert.rejects(used.bus.publish({ subject: "test.a", id: "5", data: bytes("five") }), BusError);
    await used.server.start();
    await used.bus.ensureStream(STREAM);
    assert.equal((await used.bus.publish({ subject: "test.c", id: "4", data: bytes("four") })).duplicate, true);
    await used.bus.publish({ subject: "test.a", id: "5", data: bytes("five") });
    assert.deepEqual((await read(used.bus, ALL)).map(textOf), ["one", "two", "three", "four", "five"]);
  });

  test("the oldest go when the stream is full, and its limits can be changed", async () => {
    const data = new Uint8Array(1000);
    await used.bus.ensureStream({ ...STREAM, maxBytes: 4_000 });
    for (let number = 10; number < 20; number++) await used.bus.publish({ subject: "test.big", id: `${number}`, data });
    const left = await read(used.bus, ALL);
    assert(left.length >= 2 && left.length <= 4, `${left.length}`);
    assert(left.every(({ sequence }) => sequence > 11));
  });

  test("a closed client does nothing", async () => {
    const closed = used.server.client();
    closed.close();
    await assert.rejects(closed.publish({ subject: "test.a", id: "9", data: bytes("") }), /closed/);
  });
}

for (const [name, make] of [["nats-server", real] as const, ["memory", model] as const]) {
  describe(name, () => {
    const used = {} as Used;
    before(async () => {
      used.server = await make();
      used.bus = used.server.client();
    });
    after(async () => {
      used.bus.close();
      await used.server.end();
    });
    takesAndGives(used);
    survives(used);
  });
}

test("subjects: a star is a word, an arrow is at least one", () => {
  const cases = [
    ["a.b", "a.b", true],
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    ["*.b", "a.c", false],
  ] as const;
  for (const [pattern, subject, matches] of cases) {
    assert.equal(subjectMatches(pattern, subject), matches, `${pattern} ${subject}`);
  }
});
