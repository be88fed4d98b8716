import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { elect, type Term } from "../../src/elect/elect.ts";
import { LeadershipLostError } from "../../src/elect/lock.ts";
import type { KvClient } from "../../src/kv/client.ts";
import { FaultyKv } from "../../src/kv/faulty.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const TTL_SECONDS = 6;
const LOCK = "locks/mesh";

let clock: VirtualClock;
let etcd: MemoryEtcd;

beforeEach(() => {
  clock = new VirtualClock();
  etcd = new MemoryEtcd({ clock });
});

class Candidate {
  readonly stop = new AbortController();
  readonly terms: Term[] = [];
  leads = false;
  readonly over: Promise<void>;

  constructor(seed: number, kv: KvClient = etcd.client({ timeoutMs: 500 }), log = silentLogger) {
    const backoff = { baseMs: 50, capMs: 500 };
    const random = seededRandom(seed);
    const { signal } = this.stop;
    this.over = elect(
      {
        kv,
        lockPrefix: LOCK,
        leaseTtlSeconds: TTL_SECONDS,
        clock,
        random,
        log,
        signal,
        backoff,
        leader: (leads) => {
          this.leads = leads;
        },
      },
      async (term) => {
        this.terms.push(term);
        await new Promise<void>((resolve) => term.signal.addEventListener("abort", () => resolve()));
      },
    );
  }
}

test("one leads, the other waits and takes over at once when the first resigns", async () => {
  const first = new Candidate(1);
  await clock.advance(1_000);
  const second = new Candidate(2);
  await clock.advance(60_000);
  assert.deepEqual([first.leads, second.leads], [true, false]);
  assert.equal(first.terms.length, 1);
  const [lock] = etcd.entries(`${LOCK}/`);
  assert.equal(lock?.key, `${LOCK}/${lock?.leaseId.toString(16)}`);
  assert.deepEqual(first.terms[0]?.fence, { key: lock?.key, modRevision: lock?.modRevision });

  first.stop.abort();
  await clock.settle(first.over);
  await clock.advance(100);
  assert.deepEqual([first.leads, second.leads], [false, true]);
  second.stop.abort();
  await clock.settle(second.over);
  assert.deepEqual(etcd.entries(`${LOCK}/`), [], "a stopped candidate leaves no lock");
  await clock.advance(10);
  assert.equal(clock.pending, 0);
});

test("renewing the fence moves mod_revision only, again and again", async () => {
  const candidate = new Candidate(1);
  await clock.advance(1_000);
  const [term] = candidate.terms;
  assert(term);
  const before = etcd.entries(`${LOCK}/`)[0];
  const fence = await clock.settle(term.renewFence());
  const after = etcd.entries(`${LOCK}/`)[0];
  assert.equal(after?.createRevision, before?.createRevision);
  assert.equal(after?.leaseId, before?.leaseId);
  assert.equal(fence.modRevision, after?.modRevision);
  assert(fence.modRevision > term.fence.modRevision);
  candidate.stop.abort();
  await clock.settle(candidate.over);
});

test("L09: a leader cut off past its lease is followed, loses its fence and stands again", async () => {
  const faulty = new FaultyKv(etcd.client({ timeoutMs: 500 }), { clock, random: seededRandom(9), timeoutMs: 500 });
  const first = new Candidate(1, faulty);
  await clock.advance(1_000);
  const second = new Candidate(2);
  await clock.advance(1_000);
  faulty.inject({ silence: "requests" });
  await clock.advance(30_000);
  assert.equal(second.leads, true);
  assert.equal(first.leads, false, "it does not call itself leader when the lease is overdue");
  const [old] = first.terms;
  faulty.inject({});
  assert(old);
  await assert.rejects(clock.settle(old.renewFence()), LeadershipLostError);
  assert(old.signal.aborted);
  await clock.advance(5_000);
  second.stop.abort();
  await clock.settle(second.over);
  await clock.advance(5_000);
  assert.equal(first.leads, true);
  assert.equal(first.terms.length, 2);
  first.stop.abort();
  await clock.settle(first.over);
});

test("L07: an outage of the etcd does not end the term; the lock is still there afterwards", async () => {
  const candidate = new Candidate(1);
  await clock.advance(1_000);
  etcd.stop();
  await clock.advance(60_000);
  assert.equal(candidate.leads, false);
  assert.equal(candidate.terms[0]?.signal.aborted, false);
  etcd.start();
  await clock.advance(5_000);
  assert.equal(candidate.leads, true);
  assert.equal(candidate.terms.length, 1);
  candidate.stop.abort();
  await clock.settle(candidate.over);
});

test("L11: an etcd that came back empty means a new term, without waiting for a lease", async () => {
  const candidate = new Candidate(1);
  await clock.advance(1_000);
  etcd.wipe();
  await clock.advance(TTL_SECONDS * 1_000);
  assert.equal(candidate.terms.length, 2);
  assert.equal(candidate.leads, true);
  candidate.stop.abort();
  await clock.settle(candidate.over);
});

test("the lock whose writing had no answer is not waited for", async () => {
  const faulty = new FaultyKv(etcd.client({ timeoutMs: 500 }), { clock, random: seededRandom(4), timeoutMs: 500 });
  faulty.inject({ lostAnswers: 0.5 });
  const candidate = new Candidate(1, faulty);
  await clock.advance(20_000);
  faulty.inject({});
  await clock.advance(2_000);
  assert.equal(candidate.leads, true);
  assert.equal(etcd.entries(`${LOCK}/`).length, 1);
  candidate.stop.abort();
  await clock.settle(candidate.over);
});

test("an etcd that is down for long is complained of once for each way it shows, and again after it was back", async () => {
  const warned: string[] = [];
  const log = Object.assign(Object.create(silentLogger), {
    warn: (_details: object, message: string) => void warned.push(message),
  });
  const candidate = new Candidate(1, undefined, log);
  await clock.advance(1_000);
  for (let round = 1; round <= 2; round++) {
    etcd.stop();
    await clock.advance(60_000);
    etcd.start();
    etcd.wipe();
    await clock.advance(20_000);
    assert.equal(candidate.leads, true);
  }
  candidate.stop.abort();
  await clock.settle(candidate.over);
  const count = (message: string): number => warned.filter((line) => line === message).length;
  assert.deepEqual([count("lease not renewed"), count("not leading")], [2, 2]);

  warned.length = 0;
  etcd.stop();
  const late = new Candidate(2, undefined, log);
  await clock.advance(60_000);
  assert.deepEqual(warned, ["not leading"]);
  late.stop.abort();
  await clock.settle(late.over);
});

test("L11b: a lock that is older than it was left ends the term, also when the etcd has passed the revision that we knew", async () => {
  const candidate = new Candidate(1);
  await clock.advance(1_000);
  const [term] = candidate.terms;
  assert(term);
  const backup = etcd.snapshot();
  await clock.settle(term.renewFence());
  const { revision } = etcd;
  etcd.restore(backup);
  while (etcd.revision <= revision) etcd.edit({ operations: [{ put: { key: "else", value: new Uint8Array() } }] });
  await assert.rejects(
    clock.settle(term.renewFence()),
    /the lock says 1 and was rewritten 2 times: the etcd went back/,
  );
  assert(term.signal.aborted);
  await clock.advance(2_000);
  assert.deepEqual([candidate.leads, candidate.terms.length], [true, 2]);
  candidate.stop.abort();
  await clock.settle(candidate.over);
});

test("a rewrite whose answer was lost is no foreign hand", async () => {
  const faulty = new FaultyKv(etcd.client({ timeoutMs: 500 }), { clock, random: seededRandom(9), timeoutMs: 500 });
  const candidate = new Candidate(1, faulty);
  await clock.advance(1_000);
  const [term] = candidate.terms;
  assert(term);
  faulty.inject({ lostAnswers: 1 });
  await assert.rejects(clock.settle(term.renewFence()));
  faulty.inject({});
  const fence = await clock.settle(term.renewFence());
  assert.equal(fence.modRevision, etcd.entries(`${LOCK}/`)[0]?.modRevision);
  assert.equal(term.signal.aborted, false);
  candidate.stop.abort();
  await clock.settle(candidate.over);
});
