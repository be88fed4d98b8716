/** The in-memory etcd answers as a real one does, operation by operation, and its watches see the same events. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { inspect, isDeepStrictEqual } from "node:util";
import { type KvClient, KvError, type WatchEvent, type WatchSink } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { below, seededRandom } from "../../src/runtime/random.ts";
import { TestEtcd } from "../support/etcd.ts";
import { rounds } from "../support/rounds.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { randomStep, type Step } from "./random-operations.ts";

const OPERATIONS = rounds(3_000, 10_000);
const SEED = Number(process.env["SEED"] ?? 2026);

/** What a watch saw, in a form that does not depend on how responses were cut. */
interface Seen {
  readonly events: WatchEvent[];
  provedRevision: number;
  end: string | undefined;
}

/** One of the two etcds, with the leases it gave out: their ids differ, their numbers do not. */
class Side {
  readonly client: KvClient;
  readonly leaseIds: bigint[] = [];
  readonly watches: { readonly seen: Seen; readonly requestProgress: () => void; readonly cancel: () => void }[] = [];
  readonly #compact: (revision: number) => Promise<unknown>;
  readonly #await: <T>(promise: Promise<T>) => Promise<T>;

  constructor(
    client: KvClient,
    compact: (revision: number) => Promise<unknown>,
    wait: <T>(promise: Promise<T>) => Promise<T>,
  ) {
    this.client = client;
    this.#compact = compact;
    this.#await = wait;
  }

  leaseId(number: number): bigint {
    return number < 0 ? 4242n : (this.leaseIds[number - 1] ?? 0n);
  }

  leaseNumber(id: bigint): number {
    return this.leaseIds.indexOf(id) + 1;
  }

  /** The answer or the refusal, comparable between sides. */
  async answer(step: Step): Promise<unknown> {
    try {
      return plain(await this.#await(this.#run(step)), this);
    } catch (error) {
      if (error instanceof KvError) return { error: error.code, outcomeUnknown: error.outcomeUnknown };
      throw error;
    }
  }

  async #run(step: Step): Promise<unknown> {
    switch (step.kind) {
      case "range":
        return this.client.range(step.request);
      case "txn":
        return this.client.txn({
          ...step.request,
          operations: step.request.operations.map((one) => this.#withLease(one)),
        });
      case "grant": {
        const { leaseId, ttlSeconds } = await this.client.grantLease(step.ttlSeconds);
        this.leaseIds.push(leaseId);
        return ttlSeconds;
      }
      case "renew":
        return this.client.renewLease(this.leaseId(step.lease));
      case "revoke":
        return this.client.revokeLease(this.leaseId(step.lease));
      case "compact":
        return this.#compact(step.revision).then(
          () => "compacted",
          (error: unknown) => (error instanceof Error ? error.message : error),
        );
      case "watch":
        return this.#watch(step.request);
      case "cancel": {
        const watch = this.watches[step.choice % Math.max(1, this.watches.length)];
        return watch?.cancel();
      }
    }
  }

  #withLease(operation: Parameters<KvClient["txn"]>[0]["operations"][number]): typeof operation {
    if (!("put" in operation) || operation.put.leaseId === undefined) return operation;
    return { put: { ...operation.put, leaseId: this.leaseId(Number(operation.put.leaseId)) } };
  }

  /** Resolves when the server took the watch or refused it. */
  #watch(request: Parameters<KvClient["watch"]>[0]): Promise<string> {
    const seen: Seen = { events: [], provedRevision: 0, end: undefined };
    return new Promise((resolve) => {
      const sink: WatchSink = {
        created: (header) => resolve(`created at ${header.revision}`),
        events: (events) => seen.events.push(...events),
        progress: (header) => {
          seen.provedRevision = Math.max(seen.provedRevision, header.revision);
        },
        ended: (end) => {
          seen.end = `${end.cause} ${end.compactRevision ?? ""}`;
          resolve("refused");
        },
      };
      const watch = this.client.watch(request, sink);
      const cancel = (): void => {
        watch.cancel();
        this.watches.splice(
          this.watches.findIndex((other) => other.seen === seen),
          1,
        );
      };
      this.watches.push({ seen, cancel, requestProgress: () => watch.requestProgress() });
    });
  }

  /** Until every watch that lives was told that it has everything up to `revision`. */
  async caughtUp(revision: number, wait: () => Promise<unknown>): Promise<void> {
    const behind = () => this.watches.filter(({ seen }) => seen.end === undefined && seen.provedRevision < revision);
    for (let tries = 0; behind().length > 0; tries++) {
      assert(tries < 500, "progress never came");
      behind()[0]?.requestProgress();
      await wait();
    }
  }
}

/** `value` with leases by number, bytes as text and cluster ids left out. */
function plain(value: unknown, side: Side): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (Array.isArray(value)) return value.map((one) => plain(one, side));
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([name]) => name !== "clusterId");
  return Object.fromEntries(
    fields.map(([name, field]) => [name, typeof field === "bigint" ? side.leaseNumber(field) : plain(field, side)]),
  );
}

function plainSeen(seen: Seen, side: Side): unknown {
  return { events: plain(seen.events, side), end: seen.end };
}

async function compareSteps(
  real: Side,
  model: Side,
  etcd: MemoryEtcd,
  clock: VirtualClock,
): Promise<Map<string, number>> {
  const random = seededRandom(SEED);
  const counts = new Map<string, number>();
  let compactRevision = 0;
  const catchUp = async (): Promise<void> => {
    await model.caughtUp(etcd.revision, () => clock.advance(10));
    await real.caughtUp(etcd.revision, () => pause(10));
    for (const [index, watch] of model.watches.entries()) {
      const other = real.watches[index];
      assert(other, "both sides have the same watches");
      assert.deepEqual(plainSeen(other.seen, real), plainSeen(watch.seen, model), `SEED=${SEED}, watch ${index}`);
    }
    counts.set("watches compared", (counts.get("watches compared") ?? 0) + model.watches.length);
  };
  for (let number = 0; number < OPERATIONS; number++) {
    const step = randomStep(random, { revision: etcd.revision, compactRevision, leases: model.leaseIds.length });
    // A watch that still catches up may or may not be overtaken by a compaction.
    if (step.kind === "compact") await catchUp();
    const [expected, actual] = await Promise.all([real.answer(step), model.answer(step)]);
    if (!isDeepStrictEqual(actual, expected)) {
      const where = inspect(plain(step, model), { depth: 8 });
      assert.deepEqual(actual, expected, `SEED=${SEED}, operation ${number}: ${where}`);
    }
    if (step.kind === "compact" && actual === "compacted") compactRevision = step.revision;
    const outcome =
      typeof actual === "object" && actual !== null && "error" in actual ? String(actual.error) : "answered";
    counts.set(`${step.kind} ${outcome}`, (counts.get(`${step.kind} ${outcome}`) ?? 0) + 1);
    if (model.watches.length > 30 && below(random, 10) === 0) await catchUp();
    while (model.watches.length > 30) for (const side of [real, model]) side.watches[0]?.cancel();
  }
  await catchUp();
  return counts;
}

test(`${OPERATIONS} random operations: memory answers as etcd does`, { timeout: 110_000 }, async (context) => {
  const server = await TestEtcd.start();
  context.after(() => server.end());
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock });
  const client = server.connect();
  context.after(() => client.close());
  const real = new Side(
    client,
    (revision) => server.compact(revision),
    (promise) => promise,
  );
  const model = new Side(
    etcd.client(),
    async (revision) => etcd.compact(revision),
    (promise) => clock.settle(promise),
  );
  const counts = await compareSteps(real, model, etcd, clock);
  context.diagnostic(JSON.stringify(Object.fromEntries([...counts].sort())));
  for (const kind of [
    "range compacted",
    "range future-revision",
    "txn invalid",
    "txn too-large",
    "txn lease-not-found",
  ]) {
    assert((counts.get(kind) ?? 0) >= 3, `the run must meet: ${kind}`);
  }
  assert((counts.get("watches compared") ?? 0) >= OPERATIONS / 100, "the run must compare watches");
});
