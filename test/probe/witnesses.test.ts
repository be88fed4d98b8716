/** What connections of workloads say of a path, and how it is counted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryMap } from "../../src/kernel/memory.ts";
import {
  CONNECTION_MAP,
  CONNECTION_OUTCOMES,
  type ConnectionOutcome,
  encodeConnectionKey,
  encodeConnectionValue,
} from "../../src/maps/connection-map.ts";
import { ConnectionCounts, type Counts, NO_COUNTS, since } from "../../src/probe/connections.ts";
import { PathStates, type Round } from "../../src/probe/path-states.ts";
import { type Word, wordOf } from "../../src/probe/witnesses.ts";
import { Metrics } from "../../src/runtime/metrics.ts";

/** @param silent by place. */
function counts(established: number, silent: readonly number[] = [], refused = 0): Counts {
  const silentAt = new Map(silent.map((count, place) => [place, count] as const).filter(([, count]) => count > 0));
  const all = silent.reduce((sum, count) => sum + count, 0);
  return { started: established + refused + all, established, refused, silent: all, silentAt };
}

const calm = counts(100, [3, 1]);
const plus = (established: number, silent: readonly number[] = [], refused = 0): Counts =>
  counts(100 + established, [3 + (silent[0] ?? 0), 1 + (silent[1] ?? 0), ...silent.slice(2)], refused);

const WORDS: readonly (readonly [what: string, then: Counts, lately: Counts, now: Counts, word: Word])[] = [
  ["nobody connects", calm, calm, calm, "nothing"],
  ["a few are silent", calm, calm, plus(0, [2, 2]), "nothing"],
  ["many at one address are silent", calm, calm, plus(0, [40]), "nothing"],
  ["enough are silent at two addresses", calm, calm, plus(0, [3, 2]), "silence"],
  ["they were answered before, and not lately", calm, plus(50), plus(50, [3, 2]), "silence"],
  ["one is answered among the silent ones", calm, plus(50), plus(51, [30, 20]), "nothing"],
  ["some are answered lately, however many are silent", calm, calm, plus(5, [30, 20]), "answers"],
  ["refused is answered", calm, calm, plus(0, [30, 20], 5), "answers"],
  ["a few are answered, nobody is silent", calm, calm, plus(4), "nothing"],
];

for (const [what, then, lately, now, word] of WORDS) {
  test(`${what}: ${word}`, () => assert.equal(wordOf(then, lately, now), word));
}

const one = (answers: boolean | undefined): Round => new Map([["10.1.0.1:80", answers]]);

/** The states of osaka after each round; `+` answers probes, `-` is silent, then what connections say: `a`, `s`, or nothing. */
function states(...rounds: readonly string[]): string {
  const paths = new PathStates({ failures: 3, successes: 2, selfWindowMs: 30_000 });
  const words: Readonly<Record<string, Word>> = { a: "answers", s: "silence" };
  return rounds
    .map((round, index) => {
      const word = words[round[1] ?? ""] ?? "nothing";
      paths.round(new Map([["osaka", one(round[0] === "+")]]), index * 5_000, new Map([["osaka", word]]));
      return paths.get("osaka")?.dataPath;
    })
    .join(" ");
}

test("silence that connections met too makes a path dead a round sooner, never at once, and never against an answer", () => {
  assert.equal(states("+", "-", "-", "-"), "alive alive alive dead");
  assert.equal(states("+", "-s", "-s"), "alive alive dead");
  assert.equal(states("+", "-s", "-"), "alive alive dead");
  assert.equal(states("+", "-s", "+s", "-s", "+s", "-s"), "alive alive alive alive alive alive");
  assert.equal(states("+", "+s", "+s", "+s", "+s"), "alive alive alive alive alive");
});

test("where connections are answered the path is alive, though probes are not; so it comes back, damped", () => {
  assert.equal(states("+", "-a", "-a", "-a", "-a"), "alive alive alive alive alive");
  assert.equal(states("+", "-", "-", "-", "-a", "-a"), "alive alive alive dead dead alive");
});

test("connections alone make no path: where no probe was ever answered it stays unknown", () => {
  assert.equal(states("-s", "-s", "-s", "-a"), "unknown unknown unknown unknown");
});

test("a node that loses most paths in one round is not hastened by its connections: none is dead before the others", () => {
  const paths = new PathStates({ failures: 3, successes: 2, selfWindowMs: 30_000 });
  const names = ["osaka", "virginia", "tokyo"];
  const round = (lost: readonly string[], index: number): string => {
    const words = new Map<string, Word>([["osaka", lost.includes("osaka") ? "silence" : "nothing"]]);
    paths.round(new Map(names.map((name) => [name, one(!lost.includes(name))])), index * 5_000, words);
    return names.map((name) => paths.get(name)?.dataPath).join(" ");
  };
  round([], 0);
  const both = ["osaka", "virginia"];
  assert.equal(round(both, 1), "alive alive alive");
  assert.equal(round(both, 2), "alive alive alive");
  assert.equal(round(both, 3), "dead dead alive");
  assert.equal(paths.suspectsItself, true);
});

test("the kernel's rows become counts and a metric, own cluster and strangers too; made anew they begin again", async () => {
  const map = new MemoryMap(CONNECTION_MAP, 100);
  const metrics = new Metrics();
  const read = new ConnectionCounts(map, metrics, (id) => (id === 1 ? "osaka" : `cluster id ${id}`));
  const put = async (clusterId: number, outcome: ConnectionOutcome, count: number, place = 0): Promise<void> => {
    const keys = encodeConnectionKey({ clusterId, outcome: CONNECTION_OUTCOMES.indexOf(outcome), place });
    await map.update({ count: 1, keys, values: encodeConnectionValue({ count: BigInt(count) }) });
  };
  await put(1, "started", 10);
  await put(1, "established", 6);
  await put(1, "silent", 2, 3);
  await put(1, "silent", 1, 15);
  await put(9, "refused", 4);
  const found = await read.read();
  const silentAt = new Map([
    [3, 2],
    [15, 1],
  ]);
  assert.deepEqual(found.get(1), { started: 10, established: 6, refused: 0, silent: 3, silentAt });
  assert.deepEqual(found.get(9), { ...NO_COUNTS, refused: 4 });
  await put(1, "established", 8);
  await read.poll();
  const text = await metrics.text();
  assert.match(text, /bulkhead_workload_connections_total\{cluster="osaka",outcome="established"\} 8/);
  assert.match(text, /bulkhead_workload_connections_total\{cluster="osaka",outcome="silent"\} 3/);
  assert.match(text, /bulkhead_workload_connections_total\{cluster="cluster id 9",outcome="refused"\} 4/);
  assert.deepEqual(since(counts(50, [4]), counts(2, [1, 1])), counts(2, [1, 1]));
});
