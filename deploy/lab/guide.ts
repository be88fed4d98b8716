/** What a person who has a mesh running can do with it. */
import { etcdctlArgv } from "./etcd.ts";
import type { Lab } from "./lab.ts";
import { say } from "./output.ts";
import { clusterPlan } from "./plan.ts";
import { PORTS } from "./settings.ts";
import { downCommand, nameOption } from "./state.ts";
import { serviceTarget } from "./tour/tour.ts";

/** @param page where a browser finds the status page. */
export function sayGuide(lab: Lab, page: string): void {
  const { plan } = lab;
  const name = nameOption(plan);
  const { address } = serviceTarget("amsterdam", "hello", "v4");
  const osaka = lab.processes
    .filter(({ id }) => id === "osaka/etcd" || id === "osaka/kvstoremesh")
    .map(({ pid }) => pid);
  const [node] = plan.clusters[0]?.nodes ?? [];
  const lines: readonly (readonly [string, string])[] = [
    ["the status page", page],
    ["what every program says", `npx bulkhead status --run-dir ${plan.runDirectory}`],
    ["a service and its backends", `npx bulkhead services --run-dir ${plan.runDirectory} demo/hello`],
    ["call the service as a pod", `npm run -s mesh --${name} exec amsterdam/client curl -s http://${address}/`],
    ["what happens in the mesh", `npx bulkhead events --run-dir ${plan.runDirectory} --follow`],
    ["take Osaka's control plane away", `kill -9 ${osaka.join(" ")}`],
    ["bring it back", `npm run mesh -- start osaka${name}`],
    ["rehearse that, and more", `npx bulkhead drill run --run-dir ${plan.runDirectory} kill-remote`],
    ["what the kernel holds", `bpftool map dump pinned ${node?.bpfDirectory}/backends_v*`],
    [
      "what Amsterdam's etcd holds",
      etcdctlArgv(clusterPlan(plan, "amsterdam"), ["get", "--prefix", "cilium/cache/", "--keys-only"]).join(" "),
    ],
    [
      "metrics of an agent",
      `nsenter --net=/var/run/netns/${node?.netns} curl -s http://127.0.0.1:${PORTS.agent}/metrics`,
    ],
    ["logs and manifests", `${plan.logs}   ${plan.clusters[0]?.manifests}`],
    ["the tour, on this mesh", `npm run mesh -- tour${name}`],
    ["remove everything", downCommand(plan)],
  ];
  say();
  const width = Math.max(...lines.map(([what]) => what.length));
  for (const [what, how] of lines) say(`  ${what.padEnd(width)}  ${how}`);
}
