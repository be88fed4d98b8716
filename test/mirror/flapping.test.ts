import assert from "node:assert/strict";
import { test } from "node:test";
import type { NewBreaker } from "../../src/mirror/remote.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { World } from "./world.ts";

const MINUTES = 20;
/** Tries of a breaker that waits 1 to 30 s, decorrelated: about one in 12 s once it has opened, and a few before. */
const MOST_TRIES_PER_MINUTE = 8;

/** Lets every try through. */
const passThrough: NewBreaker = (_name, action) => ({
  state: "closed",
  failures: 0,
  waitMs: () => 0,
  fire: action,
  stop() {},
});

/** Tries per minute at a remote that answers for a second and is gone for a second, never long enough to be listed. */
async function triesAtFlappingRemote(newBreaker?: NewBreaker): Promise<number> {
  const clock = new VirtualClock();
  const restoreGlobals = clock.installGlobalTimers();
  const world = new World(clock, newBreaker);
  try {
    const osaka = world.addRemote("osaka", 2, 400);
    osaka.etcd.stop();
    await clock.advance(5_000);
    world.dialled.clear();
    for (let second = 0; second < MINUTES * 60; second++) {
      if (second % 2 === 0) osaka.etcd.start();
      // 400 addresses in pages of 10, each page two latencies: cut before the listing ends.
      await clock.advance(30);
      osaka.etcd.stop();
      await clock.advance(970);
    }
    return (world.dialled.get("osaka") ?? 0) / MINUTES;
  } finally {
    await world.close();
    restoreGlobals();
  }
}

test("N03: a flapping remote is tried at the breaker's rate, not its own", async () => {
  const tries = await triesAtFlappingRemote();
  assert(tries > 0, "it is tried at all");
  assert(tries <= MOST_TRIES_PER_MINUTE, `${tries} tries a minute`);
});

test("the same with the breaker forced off is tried too often: the test above can fail", async () => {
  const tries = await triesAtFlappingRemote(passThrough);
  assert(tries > MOST_TRIES_PER_MINUTE, `${tries} tries a minute`);
});
