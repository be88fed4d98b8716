import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Datapath } from "../../src/datapath/datapath.ts";
import { ENDPOINT_MAP } from "../../src/maps/endpoint-map.ts";
import { encodePolicyKey, POLICY_FAMILY, VERDICT_ALLOWED } from "../../src/maps/policy-map.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { entryKey } from "../../src/tables/desired-map.ts";
import { rounds } from "../support/rounds.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { OWN } from "../tables/world.ts";
import { crashBefore, failing, PolicyKernel, type Step } from "./policy-kernel.ts";
import { kernelAnswers, type PolicyWorld, policyWorlds, WorldCompilers, worldAnswers } from "./policy-world.ts";

/** An agent's lower half over `kernel`, started. Rejects when taking over fails. */
async function start(kernel: PolicyKernel, world: PolicyWorld, step?: Step) {
  const clock = new VirtualClock();
  const over = new AbortController();
  const compilers = new WorldCompilers(world);
  const { endpoints, family } = kernel.open(step);
  const datapath = new Datapath({
    maps: new Map([[ENDPOINT_MAP.name, endpoints]]),
    families: new Map([[POLICY_FAMILY.name, family]]),
    compilers,
    attach: async () => ({}),
    clock,
    random: seededRandom(1),
    log: silentLogger,
    metrics: new Metrics(),
    signal: over.signal,
    settleMs: 5,
    readersMs: 10,
    driftIntervalMs: 30_000,
    clusterId: OWN.id,
    snapshots: { save: async () => true, failed: false },
    snapshotIntervalMs: 30_000,
    backoff: { baseMs: 100, capMs: 1_000 },
  });
  await datapath.adopt();
  const running = datapath.run();
  return {
    datapath,
    async bring(next: PolicyWorld, durationMs = 200) {
      compilers.world = next;
      datapath.changed();
      await clock.advance(durationMs);
    },
    run: (durationMs: number) => clock.advance(durationMs),
    async stop() {
      over.abort();
      await clock.settle(running);
    },
  };
}

async function settled(kernel: PolicyKernel, world: PolicyWorld): Promise<void> {
  const agent = await start(kernel, world);
  await agent.bring(world);
  await agent.stop();
}

async function look(kernel: PolicyKernel) {
  const { endpoints, family } = kernel.open();
  return await kernelAnswers(endpoints, family);
}

/**
 * Each endpoint answers each packet as the old or the new world says, and none that is in both is ever without a policy. One that moves to another
 * policy while its old one changes may meet the old one as changed.
 */
async function assertLegitimate(kernel: PolicyKernel, before: PolicyWorld, after: PolicyWorld): Promise<void> {
  const [now, old, next] = [await look(kernel), worldAnswers(before), worldAnswers(after)];
  const between = worldAnswers({ endpoints: before.endpoints, policies: after.policies });
  for (const [ifindex, given] of now) {
    for (const [index, answer] of given.entries()) {
      const known = [old, between, next].map((world) => world.get(ifindex)?.[index]);
      assert(known.includes(answer), `endpoint ${ifindex}, packet ${index}: ${answer}, neither of ${known}`);
    }
  }
  for (const ifindex of old.keys()) if (next.has(ifindex)) assert(now.has(ifindex), `endpoint ${ifindex} has no entry`);
}

test("after every single call each endpoint names a whole policy, old or new", async () => {
  await fc.assert(
    fc.asyncProperty(policyWorlds, policyWorlds, async (before, after) => {
      const kernel = new PolicyKernel();
      let from = before;
      const looking: Step = async (act) => {
        const result = await act();
        await assertLegitimate(kernel, from, after);
        return result;
      };
      await settled(kernel, before);
      const agent = await start(kernel, before, looking);
      await agent.bring(before);
      const { written, removed } = agent.datapath.status();
      assert.deepEqual([written, removed], [0, 0], "a restart without changes");
      await agent.bring(after);
      assert.deepEqual(agent.datapath.status().problems, []);
      assert.deepEqual(await look(kernel), worldAnswers(after));
      from = after;
      await agent.stop();
    }),
    { numRuns: rounds(60, 300) },
  );
});

test("a crash before any call leaves whole policies, and the next start repairs", async () => {
  await fc.assert(
    fc.asyncProperty(policyWorlds, policyWorlds, fc.nat(40), async (before, after, call) => {
      const kernel = new PolicyKernel();
      await settled(kernel, before);
      const doomed = await start(kernel, before, crashBefore(call)).catch(() => undefined);
      await doomed?.bring(after);
      await doomed?.stop();
      await assertLegitimate(kernel, before, after);
      const agent = await start(kernel, after);
      await agent.bring(after);
      assert.deepEqual(await look(kernel), worldAnswers(after));
      const { maps } = agent.datapath.status();
      const used = new Set(after.endpoints.values()).size;
      assert.equal(maps.find(({ name }) => name === POLICY_FAMILY.name)?.entries, used, "no slot is left over");
      await agent.stop();
    }),
    { numRuns: rounds(60, 300) },
  );
});

test("calls that fail are made again until kernel and compilers agree, and meanwhile no policy is torn", async () => {
  const errors = fc.constantFrom(12, 16, 28);
  await fc.assert(
    fc.asyncProperty(
      policyWorlds,
      policyWorlds,
      fc.array(fc.nat(30), { maxLength: 6 }),
      errors,
      async (before, after, calls, errno) => {
        const kernel = new PolicyKernel();
        await settled(kernel, before);
        const fails = failing(new Set(calls.map((call) => call + 6)), errno);
        const step: Step = async (act, done) => {
          const result = await fails(act, done);
          await assertLegitimate(kernel, before, after);
          return result;
        };
        const agent = await start(kernel, before, step);
        await agent.bring(after, 20_000);
        assert.deepEqual(agent.datapath.status().problems, []);
        assert.deepEqual(await look(kernel), worldAnswers(after));
        await agent.stop();
      },
    ),
    { numRuns: rounds(60, 300) },
  );
});

/** One endpoint, whose policy allows these identities on port 80. */
function allowing(...identities: readonly number[]): PolicyWorld {
  const keys = identities.map((identity) => ({ prefixLength: 64, identity, protocol: 6, port: 80 }));
  const entries = new Map(keys.map((key) => [entryKey(encodePolicyKey(key)), { key, verdict: VERDICT_ALLOWED }]));
  return { policies: new Map([["a", entries]]), endpoints: new Map([[10, "a"]]) };
}

test("a policy that no longer fits beside what it held is put whole; one that fits nowhere keeps what is there and says so", async () => {
  const kernel = new PolicyKernel(3);
  const agent = await start(kernel, allowing(7, 8));
  await agent.bring(allowing(7, 8));
  await agent.bring(allowing(8, 20, 21));
  assert.deepEqual(await look(kernel), worldAnswers(allowing(8)), "of the tuples looked at, identity 8 only");
  assert.deepEqual(agent.datapath.status().problems, []);
  await agent.bring(allowing(7, 8, 20, 21), 3_000);
  assert.match(agent.datapath.status().problems.join(), /eBPF maps: filling slot 1/);
  assert.deepEqual(await look(kernel), worldAnswers(allowing(8)), "nothing half done");
  await agent.bring(allowing(7), 3_000);
  assert.deepEqual(agent.datapath.status().problems, []);
  assert.deepEqual(await look(kernel), worldAnswers(allowing(7)));
  await agent.stop();
});

test("a slot or an entry that somebody else removed is repaired within the drift interval", async () => {
  const kernel = new PolicyKernel();
  const world = allowing(7, 8);
  const agent = await start(kernel, world);
  await agent.bring(world);
  const { family } = kernel.open();
  const key = encodePolicyKey({ prefixLength: 64, identity: 7, protocol: 6, port: 80 });
  await (await family.read()).get(1)?.remove(key, 1);
  assert.notDeepEqual(await look(kernel), worldAnswers(world));
  await agent.run(31_000);
  assert.deepEqual(await look(kernel), worldAnswers(world));
  await family.remove([1]);
  await agent.run(31_000);
  assert.deepEqual(await look(kernel), worldAnswers(world));
  const foreign = { count: 0, keys: new Uint8Array(), values: new Uint8Array() };
  await family.put([
    { slot: 1, entries: foreign },
    { slot: 9, entries: foreign },
  ]);
  await agent.run(31_000);
  assert.deepEqual(await look(kernel), worldAnswers(world));
  assert.deepEqual([...(await family.read()).keys()], [1]);
  await agent.stop();
});
