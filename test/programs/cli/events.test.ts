/** From what happens in a mirror to `bulkhead events`, over NATS in memory. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { EVENTS_PATH } from "../../../src/events/read.ts";
import type { EventLine, MeshEvent } from "../../../src/model/event.ts";
import { ADMIN_DOCS } from "../../../src/programs/kvstoremesh/admin.ts";
import { parseAs } from "../../../src/runtime/schema.ts";
import { followSocket, type Query } from "../../../src/serve/ask.ts";
import { eventSubject } from "../../../src/wire/event.ts";
import { MirrorStage, until } from "../kvstoremesh/stage.ts";
import { bulkhead, COMMAND } from "./command.ts";

const QUICK = { "nats-url": "nats://memory:1", "events-interval-ms": "20", "backoff-cap-ms": "200" };

const stage = new MirrorStage(20);
before(async () => {
  stage.start({ ...QUICK, "breaker-failures": "1" });
  await stage.watching();
  await until("it is told", () => stored().some(({ kind }) => kind === "grade"));
});
after(() => stage.stop());

const stored = (): readonly MeshEvent[] =>
  stage.nats.messages.map(({ data }) => JSON.parse(new TextDecoder().decode(data)) as MeshEvent);

async function streamed(query: Query): Promise<readonly EventLine[]> {
  const lines: EventLine[] = [];
  const signal = new AbortController().signal;
  for await (const line of followSocket(stage.socket, EVENTS_PATH, 2_000, query, signal)) lines.push(line as EventLine);
  return lines;
}

const events = (...args: readonly string[]) => bulkhead("events", "--run-dir", stage.folder, ...args);

test("a mirror tells that it started, leads and knows its remote; its status counts it", async () => {
  const [first, ...others] = stored();
  assert.match(first?.line ?? "", /^kvstoremesh started$/);
  assert.deepEqual([first?.kind, first?.cluster, first?.program], ["restart", "amsterdam", "kvstoremesh"]);
  assert(others.some(({ line }) => line === "kvstoremesh leads"));
  assert(others.some(({ line, remote }) => line === "osaka: state is fresh, was unproven" && remote === "osaka"));
  await until("all are sent", async () => (await stage.status())?.events?.waiting === 0);
  const counted = (await stage.status())?.events;
  assert.deepEqual([counted?.connected, counted?.sent, counted?.lost], [true, stored().length, 0]);
});

test("a rejected value and a lost remote are told", async () => {
  stage.osaka.put(stage.osaka.ipKey(99), "{");
  await until("the rejection", () => stored().some(({ kind }) => kind === "rejection"));
  stage.osaka.etcd.stop();
  await until("the breaker", () => stored().some(({ kind, severity }) => kind === "breaker" && severity === "warning"));
  stage.osaka.etcd.start();
  await until("it closes", () => stored().some(({ kind, severity }) => kind === "breaker" && severity === "info"));
});

test("bulkhead events prints them, filters them, and gives records", async () => {
  const all = await events();
  assert.equal(all.code, 0, all.err);
  assert.equal(all.out.trimEnd().split("\n").length, stored().length);
  assert.match(all.out, /^\S+Z info {4}restart {3}amsterdam\/kvstoremesh \S+: kvstoremesh started$/m);
  const breakers = await events("--kind", "breaker", "--json", "--since", "10m");
  const records = breakers.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as MeshEvent);
  assert.deepEqual(
    records,
    stored().filter(({ kind }) => kind === "breaker"),
  );
  assert.equal((await events("--cluster", "osaka")).out, "");
});

test("--follow goes on with what comes, and where NATS was away", async () => {
  const child = execFile(process.execPath, [
    COMMAND,
    "events",
    "--run-dir",
    stage.folder,
    "--follow",
    "--kind",
    "drill",
  ]);
  let [out, err] = ["", ""];
  child.stdout?.on("data", (text: string) => {
    out += text;
  });
  child.stderr?.on("data", (text: string) => {
    err += text;
  });
  const drill = (number: number): MeshEvent => ({
    ...({ version: 1, id: `00000000000000aa-${number}`, time: new Date().toISOString() } as const),
    ...{ cluster: "virginia", program: "drilld", instance: "v1", kind: "drill", severity: "info", lost: number * 2 },
    ...{ line: `drill \u001b ${number}`, details: {} },
  });
  const bus = stage.nats.client();
  const publish = ({ id, ...event }: MeshEvent) =>
    bus.publish({
      subject: eventSubject("virginia", "drill"),
      id,
      data: Buffer.from(JSON.stringify({ id, ...event })),
    });
  // Until the first is seen nobody knows whether the follower listens.
  let number = 0;
  await until("it follows", async () => {
    await publish(drill(++number));
    return out !== "";
  });
  stage.nats.stop();
  await until("it says so", () => /cannot be read/.test(err));
  stage.nats.start();
  for (let more = 0; more < 3; more++) await publish(drill(++number));
  await until("the last one", () => out.includes(`drill \\u001b ${number}`));
  child.kill("SIGINT");
  const numbers = [...out.matchAll(/drill \\u001b (\d+)$/gm)].map(([, text]) => Number(text));
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, at) => (numbers[0] ?? 0) + at),
    "each once, in order",
  );
  assert.match(out, /^! 2 events are lost of virginia\/drilld v1: NATS was away for too long$/m);
});

test("what is no event is left out, and said on standard error", async () => {
  await stage.nats
    .client()
    .publish({ subject: eventSubject("osaka", "hold"), id: "x", data: Buffer.from("\u001b[2J") });
  const { code, out, err } = await events("--cluster", "osaka");
  assert.deepEqual([code, out], [0, ""]);
  assert.match(err, /^! left out: bulkhead\.events\.v1\.osaka\.hold: malformed: /);
});

test("without NATS the mirror goes on, events wait, and who asks for them is told in a line", async () => {
  stage.nats.stop();
  stage.osaka.putIp(1, "changed");
  const written = stage.amsterdam.entries("cilium/cache/ip/v1/osaka/").length;
  stage.osaka.putIp(100, "new");
  await until("it is mirrored", () => stage.amsterdam.entries("cilium/cache/ip/v1/osaka/").length === written + 1);
  const { code, err } = await events();
  assert.equal(code, 2);
  assert.equal(err, "bulkhead: events cannot be read: connection refused\n");
  stage.nats.start();
});

test("the admin socket refuses a query that is none", async () => {
  for (const query of [{ kind: "x" }, { cluster: "X" }, { sinceMs: "-1" }, { after: "x" }] as readonly Query[]) {
    await assert.rejects(streamed(query), /must|may hold/);
  }
  const lines = await streamed({ after: "1" });
  assert(lines.every((line) => "sequence" in line && line.sequence > 1));
});

test("each line of the stream is as the program's API says", async () => {
  const answer = ADMIN_DOCS.get(`GET ${EVENTS_PATH}`)?.answer;
  assert(answer);
  const lines = await streamed({});
  assert(lines.some((line) => "event" in line) && lines.some((line) => "refused" in line));
  for (const line of lines) parseAs(answer, line, "line");
});

const BAD: readonly (readonly [readonly string[], RegExp])[] = [
  [["--since", "10"], /^error: .*such as 10m\.\n$/],
  [["--kind", "news"], /^error: .*Allowed choices are breaker/],
  [["--cluster", "Osaka"], /^error: .*A cluster's name may hold only/],
  [["--sinc", "10m"], /^error: unknown option/],
];

for (const [args, line] of BAD) {
  test(`${args.join(" ")} is one line and exit code 2`, async () => {
    const { code, out, err } = await events(...args);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, line);
  });
}

test("where no program tells events, that is said", async () => {
  const quiet = new MirrorStage(1);
  quiet.start();
  await quiet.watching();
  const { code, err } = await bulkhead("events", "--run-dir", quiet.folder);
  await quiet.stop();
  assert.equal(code, 2);
  assert.equal(err, "bulkhead: no program below --run-dir tells events: start them with --nats-url\n");
  assert.equal(quiet.nats.messages.length, 0);
});
