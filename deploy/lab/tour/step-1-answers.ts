/** Step 1: one address, answers from every cluster; with `affinity: local`, from the own one only. */
import { fileURLToPath } from "node:url";
import { command, inNetns } from "../command.ts";
import { sayFigure, sayResult, whole } from "../output.ts";
import type { Target } from "../workload/jobs.ts";
import { expect, expectNoFailure, expectShares } from "./expect.ts";
import { burst, type Step, serviceTarget, type Tour } from "./tour.ts";

const CALLS = 1_000;
const FEWER_CALLS = 200;
/** Of 1,000 fair choices among three, fewer than 200 for one do not happen; of 200, fewer than 30 do not. */
const LEAST_SHARE = 0.2;
const LEAST_SHARE_OF_FEW = 0.15;
const ONCE = fileURLToPath(new URL("../workload/once.ts", import.meta.url));

export const answersFromEveryCluster: Step = {
  title: "A global service is answered by all three clusters",
  async run(tour) {
    const everyone = tour.lab.plan.clusters.map((cluster) => cluster.name);
    const v4 = serviceTarget("amsterdam", "hello", "v4");
    const v6 = serviceTarget("amsterdam", "hello", "v6");
    const local = serviceTarget("amsterdam", "hello-local", "v4");
    sayFigure("demo/hello", `${v4.address}:80`, `[${v6.address}]:80`);
    sayFigure("demo/hello-local, affinity local", `${local.address}:80`);
    await expectCalls(tour, "hello, TCP over IPv4", v4, CALLS, everyone, LEAST_SHARE);
    await expectCalls(tour, "hello, TCP over IPv6", v6, FEWER_CALLS, everyone, LEAST_SHARE_OF_FEW);
    await expectCalls(
      tour,
      "hello, UDP over IPv4",
      { ...v4, protocol: "udp" },
      FEWER_CALLS,
      everyone,
      LEAST_SHARE_OF_FEW,
    );
    await expectCalls(tour, "hello-local", local, CALLS, ["amsterdam"], 1);
    await expectNothingOutside(tour, v4);
  },
};

async function expectCalls(
  tour: Tour,
  label: string,
  target: Target,
  count: number,
  clusters: readonly string[],
  leastShare: number,
): Promise<void> {
  const result = await burst(tour, tour.amsterdam, target, count);
  sayResult(`${whole(count)} calls, ${label}`, result);
  expectNoFailure(label, result);
  expectShares(label, result, clusters, leastShare);
}

/** The negative twin: the same network without the pod's cgroup knows no such address, so it was eBPF that answered above. */
async function expectNothingOutside(tour: Tour, target: Target): Promise<void> {
  const { netns } = tour.lab.pod("amsterdam", "client");
  const argv = [process.execPath, ONCE, target.protocol, target.address, String(target.port)];
  const outcome = (await command(inNetns(netns, argv))).trim();
  sayFigure("1 call outside the pod's cgroup", outcome);
  expect(outcome === "EHOSTUNREACH", `a call outside the cgroup gave ${outcome}; expected EHOSTUNREACH`);
}
