/** Weights of the own cluster: in steps, through restarts, changes of leaders and an etcd that was wiped. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import fc from "fast-check";
import type { Exporter } from "../../src/export/exporter.ts";
import { hasArrived, rampTo, SHORTEST_STEP_MS, stepped } from "../../src/export/ramp.ts";
import type { Ramp } from "../../src/model/drain.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { judgeDrain } from "../../src/wire/drain.ts";
import { drainCanary, drainKey } from "../../src/wire/keys.ts";
import { BILLING, Scene } from "./scene.ts";

const KEY = drainKey("osaka");
const LEDGER = "billing/ledger";

let scene: Scene;
beforeEach(() => {
  scene = new Scene(BILLING);
});
afterEach(() => scene.end());

/** The marker as others read it: weights and targets by service, "" for the cluster. */
async function marker(): Promise<Record<string, readonly [number, number]> | undefined> {
  const bytes = (await scene.keys()).get(KEY)?.value;
  if (bytes === undefined) return undefined;
  const judged = judgeDrain(KEY, bytes);
  assert(judged.ok);
  const { all, services } = judged.value;
  const ramps: readonly (readonly [string, Ramp])[] = [...(all ? [["", all] as const] : []), ...services];
  return Object.fromEntries(ramps.map(([name, { weight, target }]) => [name, [weight, target] as const]));
}

const order = (exporter: Exporter, target: number, overMs: number, services: readonly string[] = []) =>
  scene.clock.settle(exporter.drain({ services, target, overMs }));

test("a drain goes in even steps, a write a second at most, and a return takes the marker away", async () => {
  const { exporter } = await scene.synced();
  assert.equal(await marker(), undefined);
  assert((await scene.keys()).has(drainCanary("osaka")));
  await order(exporter, 0, 5_000);
  const seen = [(await marker())?.[""]];
  for (let second = 1; second <= 7; second++) {
    await scene.clock.advance(1_000);
    seen.push((await marker())?.[""]);
  }
  assert.deepEqual(
    seen.map((ramp) => ramp?.[0]),
    [100, 80, 60, 40, 20, 0, 0, 0],
  );
  const { version } = (await scene.keys()).get(KEY) ?? {};
  assert.equal(version, 6, "written once a step, and when it was ordered");
  await order(exporter, 100, 2_000);
  await scene.clock.advance(1_000);
  assert.deepEqual(await marker(), { "": [50, 100] });
  await scene.clock.advance(2_000);
  assert.equal(await marker(), undefined);
  assert.equal(exporter.status().drains, undefined);
});

test("at once where no time is given; an order in between begins where the weight is", async () => {
  const { exporter } = await scene.synced();
  await order(exporter, 0, 10_000);
  await scene.clock.advance(3_500);
  assert.deepEqual(await marker(), { "": [70, 0] });
  await order(exporter, 100, 3_000);
  assert.deepEqual(await marker(), { "": [70, 100] });
  await scene.clock.advance(5_000);
  assert.equal(await marker(), undefined);
  await order(exporter, 0, 0);
  assert.deepEqual(await marker(), { "": [0, 0] });
});

test("services are drained by name, beside the cluster", async () => {
  const { exporter } = await scene.synced();
  await order(exporter, 0, 0, [LEDGER]);
  await scene.clock.advance(1_000);
  await order(exporter, 20, 0);
  await scene.clock.advance(1_000);
  assert.deepEqual(await marker(), { "": [20, 20], [LEDGER]: [0, 0] });
  await order(exporter, 100, 0);
  await scene.clock.advance(1_000);
  assert.deepEqual(await marker(), { [LEDGER]: [0, 0] });
  assert.deepEqual(exporter.status().drains, [{ cluster: "osaka", service: LEDGER, weight: 0, target: 0 }]);
});

test("a restart goes on where the weight was, and so does another leader", async () => {
  const first = await scene.synced();
  const second = scene.start();
  await scene.clock.advance(1_000);
  await order(first.exporter, 0, 20_000);
  await scene.clock.advance(5_500);
  const before = (await marker())?.[""]?.[0] ?? 0;
  assert.equal(before, 75);
  await first.kill();
  await scene.clock.advance(9_000);
  assert.equal(second.exporter.status().leader, true);
  const after = (await marker())?.[""]?.[0] ?? 100;
  assert(after > 25 && after < before, `${after}: from ${before} on, at the same pace, and not what was missed`);
  await scene.clock.advance(30_000);
  assert.deepEqual(await marker(), { "": [0, 0] });
  await second.stop();
  await scene.synced();
  assert.deepEqual(await marker(), { "": [0, 0] });
});

test("an etcd that was wiped is told again", async () => {
  const { exporter } = await scene.synced();
  await order(exporter, 0, 0);
  await scene.clock.advance(2_000);
  scene.etcd.wipe();
  await scene.clock.advance(30_000);
  assert.equal(exporter.status().leader, true);
  assert.deepEqual(await marker(), { "": [0, 0] });
  assert((await scene.keys()).has(drainCanary("osaka")));
});

test("what another ended counts: a leader that was suspended does not drain again", async () => {
  const { exporter } = await scene.synced();
  await order(exporter, 0, 0);
  await scene.clock.advance(2_000);
  const [lock] = scene.etcd.entries("bulkhead/v1/locks/exporter/");
  scene.etcd.edit({ operations: [{ delete: { key: lock?.key ?? "" } }, { delete: { key: KEY } }] });
  await scene.clock.advance(60_000);
  assert.equal(exporter.status().leader, true);
  assert.equal(await marker(), undefined);
  assert.equal(exporter.status().drains, undefined);
});

test("who does not lead, an unknown service, and a return of what was not drained: a line each, and nothing changes", async () => {
  const { exporter } = await scene.synced();
  const standby = scene.start();
  await scene.clock.advance(1_000);
  for (const [what, exporters, target, services, line] of [
    ["standby", standby.exporter, 0, [], /does not lead/],
    ["unknown", exporter, 0, ["billing/nothing"], /^osaka has no service billing\/nothing$/],
    ["not drained", exporter, 100, [], /^osaka is not drained$/],
    ["not drained", exporter, 100, [LEDGER], /^billing\/ledger is not drained$/],
  ] as const) {
    const refused = (error: unknown) => error instanceof UserError && line.test(error.message);
    await assert.rejects(exporters.drain({ services, target, overMs: 0 }), refused, what);
  }
  assert.equal(await marker(), undefined);
});

test("a ramp arrives in time, never leaves its ends, and needs no more steps than seconds", () => {
  const weights = fc.nat({ max: 100 });
  fc.assert(
    fc.property(weights, weights, fc.nat({ max: 3_600_000 }), (from, target, overMs) => {
      let ramp = rampTo(from, target, overMs);
      let tookMs = 0;
      let before = Math.abs(target - ramp.weight);
      for (; !hasArrived(ramp); tookMs += ramp.stepMs) {
        ramp = stepped(ramp);
        const left = Math.abs(target - ramp.weight);
        assert(left < before);
        before = left;
        assert(ramp.stepMs >= SHORTEST_STEP_MS);
      }
      assert(tookMs <= overMs);
      if (from !== target && overMs >= SHORTEST_STEP_MS) assert(tookMs > overMs - 101, `${tookMs} of ${overMs}`);
    }),
  );
});
