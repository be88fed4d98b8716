/** Step 4: the own mirror is gone for longer than any lease lives; nothing expires. It returns and catches up with what was removed. */
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { keysBelow, longestLeaseSeconds, mirrorOf, type StoredKey } from "../etcd.ts";
import { waitFor } from "../lab.ts";
import { kernelBackends } from "../maps.ts";
import { sayFigure, sayResult, seconds, whole } from "../output.ts";
import type { ClusterPlan } from "../plan.ts";
import { GRACE_MS, stopPod, withdrawPod } from "../pods.ts";
import { backendOf } from "../serving.ts";
import type { PodRecord } from "../state.ts";
import { sayDrill, type TourDrill } from "./drill.ts";
import { expect, expectNoFailure, expectNoneGone, expectUnchanged } from "./expect.ts";
import { beginDrill, burst, type Step, serviceTarget, type Tour } from "./tour.ts";

const TIMES_THE_LEASE = 3;
const CALLS = 300;
const GONE_WITHIN_MS = 60_000;

export const mirrorReturns: Step = {
  title: "Amsterdam's own kvstoremesh is killed with -9, for longer than any lease lives",
  async run(tour) {
    const { lab, amsterdam, virginia } = tour;
    // Osaka's etcd is down since step 2; its leases are as long as the others', being set alike.
    const leaseSeconds = Math.max(...(await Promise.all([amsterdam, virginia].map(longestLeaseSeconds))));
    expect(leaseSeconds > 0, "no lease found in any etcd; there is nothing to outlive");
    const before = await everythingMirrored(amsterdam);
    const drill = beginDrill(tour, "mirror");
    const killedMs = await drill.broken;
    const orphaned = await everythingMirrored(amsterdam);
    expectNoneGone("amsterdam's cache", before, orphaned);
    await drill.lasts;
    const downMs = systemClock.nowMs() - killedMs;
    expect(
      downMs > TIMES_THE_LEASE * leaseSeconds * 1_000,
      `the drill lasts ${seconds(downMs)}; leases ${leaseSeconds} s`,
    );
    const after = await everythingMirrored(amsterdam);
    expectUnchanged("amsterdam's cache", orphaned, after);
    const leased = after.filter((stored) => stored.lease !== "0");
    sayFigure("without kvstoremesh", seconds(downMs), `longest lease ${leaseSeconds} s`);
    sayFigure("mirrored keys", whole(after.length), "0 changed", `${leased.length} with a lease`);
    expect(leased.length === 0, `${leased.length} mirrored keys have a lease, the first: ${leased[0]?.key}`);
    await expectCalls(tour, "still");
    await catchUp(tour, drill, lab.pod("virginia", "hello-2"));
  },
};

/** All that amsterdam keeps of others: values, canaries and configs. */
async function everythingMirrored(amsterdam: ClusterPlan): Promise<readonly StoredKey[]> {
  const prefixes = ["cilium/cache/", "cilium/synced/", "cilium/cluster-config/"];
  const keys = (await Promise.all(prefixes.map((prefix) => keysBelow(amsterdam, prefix)))).flat();
  const own = [`cilium/synced/${amsterdam.name}/`, `cilium/cluster-config/${amsterdam.name}`];
  return keys.filter(({ key }) => !own.some((prefix) => key.startsWith(prefix)));
}

async function expectCalls(tour: Tour, when: string): Promise<Readonly<Record<string, number>>> {
  const result = await burst(tour, tour.amsterdam, serviceTarget("amsterdam", "hello", "v4"), CALLS);
  sayResult(`${CALLS} calls ${when}`, result);
  expectNoFailure(`${CALLS} calls ${when}`, result);
  return result.answers;
}

/** Virginia removes a backend while amsterdam's mirror is down; the mirror returns and the stale value and addresses go. */
async function catchUp(tour: Tour, drill: TourDrill, pod: PodRecord): Promise<void> {
  const { lab, amsterdam, osaka, virginia } = tour;
  const before = await mirrorOf(amsterdam, osaka.name);
  // Its process goes on, for who does not know yet: nobody's connection is to fail.
  withdrawPod(virginia, pod);
  await waitFor("virginia's etcd lets the pod go", GONE_WITHIN_MS, async () =>
    (await mentions(virginia, "cilium/state/", pod)) === 0 ? true : undefined,
  );
  const removedMs = systemClock.nowMs();
  await withoutPod(virginia, pod);
  sayFigure(
    `virginia/${pod.name} removed`,
    `gone from virginia's maps ${seconds(systemClock.nowMs() - removedMs)} after its etcd`,
  );
  const stale = await mentions(amsterdam, "cilium/cache/", pod);
  expect(stale > 0, "amsterdam's cache let the pod go with nobody there to tell it");
  const startedMs = systemClock.nowMs();
  const ended = drill.end();
  ended.catch(() => {});
  await waitFor("amsterdam's cache lets the pod go", GONE_WITHIN_MS, async () =>
    (await mentions(amsterdam, "cilium/cache/", pod)) === 0 ? true : undefined,
  );
  await withoutPod(amsterdam, pod);
  sayFigure(
    "... and from amsterdam",
    `${stale} stale values (services, IPs)`,
    `gone ${seconds(systemClock.nowMs() - startedMs)} after the start`,
  );
  // The new process has never seen osaka, which is still down: it must not take that for an empty osaka.
  expectUnchanged("osaka's keys after the mirror's return", before, await mirrorOf(amsterdam, osaka.name));
  sayFigure("osaka, which it never reached", `${whole(before.length)} keys`, "0 changed");
  const answers = await expectCalls(tour, "after its return");
  expect(answers[`virginia/${pod.name}`] === undefined, `virginia/${pod.name} answered after it was removed`);
  sayDrill(await ended);
  await sleep(systemClock, GRACE_MS);
  await stopPod(lab, virginia, pod);
}

/** Waits until no node of the cluster has the pod in its maps. */
async function withoutPod(cluster: ClusterPlan, pod: PodRecord): Promise<void> {
  await waitFor(`${cluster.name}'s maps let ${pod.cluster}/${pod.name} go`, GONE_WITHIN_MS, async () => {
    const held = await Promise.all(cluster.nodes.map(kernelBackends));
    return held.some((backends) => backends.has(backendOf(pod))) ? undefined : true;
  });
}

/** How many services and addresses below the prefix name the pod: its service values and its IP keys. */
async function mentions(cluster: ClusterPlan, prefix: string, pod: PodRecord): Promise<number> {
  const kinds = await Promise.all(["services/v1/", "ip/v1/"].map((kind) => keysBelow(cluster, prefix + kind)));
  const quoted = pod.addresses.map((address) => `"${address}"`);
  const named = kinds.flat().filter(({ value }) => quoted.some((address) => value.includes(address)));
  return named.length;
}
