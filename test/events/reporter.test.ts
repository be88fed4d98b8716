/** The way of an event from `emit` to the stream, through all that may happen to NATS meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultyBus } from "../../src/bus/faulty.ts";
import { MemoryNats } from "../../src/bus/memory.ts";
import { Reporter } from "../../src/events/reporter.ts";
import type { EventDraft, MeshEvent } from "../../src/model/event.ts";
import { sleep } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { EVENT_STREAM, EVENT_SUBJECTS, judgeEvent } from "../../src/wire/event.ts";
import { rounds } from "../support/rounds.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const SEEDS = rounds(3, 10);

const HOUR_MS = 3_600_000;
const STREAM = {
  name: EVENT_STREAM,
  subjects: [EVENT_SUBJECTS],
  maxBytes: 1 << 30,
  maxAgeMs: 24 * HOUR_MS,
  duplicateWindowMs: HOUR_MS,
};

class Stage {
  readonly clock = new VirtualClock();
  readonly nats = new MemoryNats(this.clock);
  readonly metrics = new Metrics();
  readonly bus: FaultyBus;
  readonly reporter: Reporter;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(seed: number, maxWaiting = 10_000) {
    const { clock, metrics } = this;
    const random = seededRandom(seed);
    this.bus = new FaultyBus(this.nats.client(), { clock, random, timeoutMs: 1_000 });
    this.reporter = new Reporter({
      bus: this.bus,
      stream: STREAM,
      emitter: { cluster: "amsterdam", program: "kvstoremesh", instance: "host" },
      limits: { maxWaiting, maxWaitingBytes: 1 << 24 },
      backoff: { baseMs: 200, capMs: 30_000 },
      clock,
      random,
      log: silentLogger,
      metrics,
    });
    this.#running = this.reporter.run(this.#stop.signal);
  }

  /** The events that the stream holds, in its order. */
  stored(): readonly MeshEvent[] {
    return this.nats.messages.map(({ subject, data }) => {
      const judged = judgeEvent(subject, data);
      assert(judged.ok, JSON.stringify(judged));
      return judged.value;
    });
  }

  /** Emits `count` events, one every `everyMs`. */
  async load(count: number, everyMs: number): Promise<void> {
    for (let number = 0; number < count; number++) {
      this.reporter.emit(draft(number));
      await sleep(this.clock, everyMs);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.clock.settle(this.#running);
    assert.equal(this.clock.pending, 0);
  }
}

function draft(number: number): EventDraft {
  const severity = number % 7 === 0 ? "error" : "info";
  return { kind: "problem", severity, line: `event ${number}`, details: { number } };
}

test("an event arrives whole, and the status says so", async () => {
  const stage = new Stage(1);
  const line = "a\u001b[31m line\nand another";
  stage.reporter.emit({ kind: "hold", remote: "osaka", severity: "warning", line, details: { keys: 3.6, held: true } });
  assert.deepEqual(stage.reporter.status(), { connected: false, emitted: 1, sent: 0, lost: 0, waiting: 1 });
  await stage.clock.advance(100);
  const [event] = stage.stored();
  assert.match(event?.id ?? "", /^[0-9a-f]{16}-1$/);
  assert.deepEqual(event, {
    version: 1,
    id: event?.id,
    time: "2026-01-01T00:00:00.000Z",
    cluster: "amsterdam",
    program: "kvstoremesh",
    instance: "host",
    kind: "hold",
    remote: "osaka",
    severity: "warning",
    lost: 0,
    line: "a\\u001b[31m line",
    details: { keys: 4, held: true },
  });
  assert.deepEqual(stage.reporter.status(), { connected: true, emitted: 1, sent: 1, lost: 0, waiting: 0 });
  assert.match(await stage.metrics.text(), /^bulkhead_events_sent_total 1$/m);
  await stage.stop();
});

test("ten minutes without NATS, under load: each event is in the stream once", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const stage = new Stage(seed);
    stage.bus.inject({ maxDelayMs: 50, refused: 0.2, lostAnswers: 0.2 });
    const loading = stage.load(3_000, 250);
    await stage.clock.advance(60_000);
    stage.nats.stop();
    await stage.clock.advance(600_000);
    const { connected, waiting, error } = stage.reporter.status();
    assert.deepEqual([connected, error !== undefined], [false, true]);
    assert(waiting > 2_000, `${waiting} wait`);
    stage.nats.start();
    await stage.clock.settle(loading);
    stage.bus.inject({});
    await stage.clock.advance(60_000);
    const lines = stage.stored().map(({ line }) => line);
    assert.equal(new Set(lines).size, 3_000);
    assert.equal(lines.length, 3_000);
    assert.deepEqual(stage.reporter.status(), { connected: true, emitted: 3_000, sent: 3_000, lost: 0, waiting: 0 });
    await stage.stop();
  }
});

test("what does not fit is counted as lost, the least severe first, and the next event says how many", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const stage = new Stage(seed, 500);
    stage.bus.inject({ maxDelayMs: 50, refused: 0.2, lostAnswers: 0.2 });
    const loading = stage.load(3_000, 250);
    await stage.clock.advance(60_000);
    stage.nats.stop();
    await stage.clock.advance(600_000);
    stage.nats.start();
    await stage.clock.settle(loading);
    stage.bus.inject({});
    await stage.clock.advance(60_000);
    const stored = stage.stored();
    const { lost, emitted, sent, waiting } = stage.reporter.status();
    assert(lost > 1_000, `${lost} lost`);
    assert.equal(new Set(stored.map(({ id }) => id)).size, stored.length);
    assert.deepEqual([emitted, waiting, stored.length, sent], [3_000, 0, 3_000 - lost, 3_000 - lost]);
    assert.equal(
      stored.filter(({ severity }) => severity === "error").length,
      Math.ceil(3_000 / 7),
      "no error is lost",
    );
    assert.equal(stored.at(-1)?.lost, lost);
    assert.match(
      await stage.metrics.text(),
      new RegExp(`^bulkhead_events_lost_total\\{severity="info"\\} ${lost}$`, "m"),
    );
    await stage.stop();
  }
});

test("a silent server holds up nobody: emit returns, calls end at their deadline, and then all arrive", async () => {
  const stage = new Stage(5);
  stage.bus.inject({ silent: true });
  for (let number = 0; number < 300; number++) stage.reporter.emit(draft(number));
  await stage.clock.advance(30_000);
  assert.equal(stage.reporter.status().waiting, 300);
  assert.match(stage.reporter.status().error ?? "", /silence/);
  stage.bus.inject({});
  await stage.clock.advance(60_000);
  assert.equal(stage.stored().length, 300);
  await stage.stop();
});

test("a stream that is gone is made again, also when nothing happens", async () => {
  const stage = new Stage(6);
  await stage.clock.advance(1_000);
  assert.equal(stage.reporter.status().connected, true);
  stage.nats.stop();
  await stage.clock.advance(10_000);
  assert.equal(stage.reporter.status().connected, false, "noticed without an event");
  stage.nats.start();
  await stage.clock.advance(60_000);
  assert.equal(stage.reporter.status().connected, true);
  await stage.stop();
});

test("two runs of one program never share an id", async () => {
  const [one, other] = [new Stage(7), new Stage(8)];
  for (const stage of [one, other]) stage.reporter.emit(draft(1));
  for (const stage of [one, other]) await stage.clock.advance(100);
  assert.notEqual(one.stored()[0]?.id, other.stored()[0]?.id);
  for (const stage of [one, other]) await stage.stop();
});
