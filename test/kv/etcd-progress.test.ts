/** Which of a server's progress answers are believed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ProgressProof } from "../../src/kv/etcd-progress.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

function setUp() {
  const clock = new VirtualClock();
  const proved: number[] = [];
  let asked = 0;
  const ask = (): void => {
    asked++;
  };
  const proof = new ProgressProof({ clock, ask, proved: ({ revision }) => proved.push(revision) });
  const header = (revision: number) => ({ revision, clusterId: 1n });
  return {
    clock,
    proved,
    proof,
    asked: () => asked,
    answer: (revision: number) => proof.answered(header(revision)),
    deliver: (headerRevision: number, last = headerRevision) => proof.delivered(header(headerRevision), last),
  };
}

test("one answer proves nothing, a second with nothing in between proves the first", () => {
  const { proof, proved, asked, answer } = setUp();
  proof.want();
  answer(5);
  assert.deepEqual([proved, asked()], [[], 2]);
  answer(6);
  assert.deepEqual([proved, asked()], [[5], 2], "and that is enough");
});

test("an older event in between puts the proof off, a newer one gives it", () => {
  const { proof, proved, asked, answer, deliver } = setUp();
  proof.want();
  answer(5);
  deliver(4);
  answer(5);
  assert.deepEqual([proved, asked()], [[], 3]);
  deliver(5);
  deliver(6);
  answer(7);
  assert.deepEqual(proved, [5]);
});

test("nothing is believed until a watch with a past had time to catch up", async () => {
  const { clock, proof, proved, asked, answer, deliver } = setUp();
  proof.created(true);
  proof.want();
  answer(9);
  answer(9);
  assert.deepEqual([proved, asked()], [[], 1]);
  await clock.advance(200);
  deliver(9, 4);
  await clock.advance(150);
  answer(9);
  assert.deepEqual(proved, [], "it was still catching up");
  await clock.advance(200);
  answer(9);
  answer(9);
  assert.deepEqual(proved, [9]);
});

test("answers far apart do not support each other: a server may have slept in between", async () => {
  const { clock, proof, proved, answer } = setUp();
  proof.want();
  answer(5);
  await clock.advance(1500);
  answer(5);
  assert.deepEqual(proved, []);
  answer(5);
  assert.deepEqual(proved, [5]);
});

test("a want that the server never answered does not block the next; stop leaves no timer", async () => {
  const { clock, proof, proved, asked, answer } = setUp();
  proof.want();
  proof.want();
  assert.equal(asked(), 2);
  answer(3);
  answer(3);
  assert.deepEqual(proved, [3]);
  proof.created(true);
  proof.want();
  answer(4);
  proof.stop();
  assert.equal(clock.pending, 0);
});
