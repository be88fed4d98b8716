/** Between tours: pods and programs are again as the manifests say, and no drill lasts. */

import { restartDrills, undoDrills } from "./drills.ts";
import type { Lab } from "./lab.ts";
import { inputPod, readInput } from "./manifests.ts";
import { startPod, stopPod } from "./pods.ts";
import { startNats } from "./programs.ts";
import { waitForServing } from "./serving.ts";
import { startCluster, waitForCluster } from "./up.ts";

export async function restoreMesh(lab: Lab): Promise<void> {
  startNats(lab);
  await restartDrills(lab);
  await undoDrills(lab);
  for (const cluster of lab.plan.clusters) {
    const wanted = readInput(cluster.name).filter((object) => object.kind === "Pod");
    const names = new Set(wanted.map((object) => object.name));
    const running = lab.pods.filter((pod) => pod.cluster === cluster.name);
    for (const object of wanted)
      if (!running.some((pod) => pod.name === object.name)) await startPod(lab, cluster, inputPod(object));
    for (const pod of running) if (!names.has(pod.name)) await stopPod(lab, cluster, pod);
    startCluster(lab, cluster);
  }
  for (const cluster of lab.plan.clusters) await waitForCluster(lab, cluster);
  await waitForServing(lab);
}
