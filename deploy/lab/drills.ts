/** What drills may break in the lab: an allow-list and a drilld for each cluster, the marker in its etcd, an old backup of it. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MARKER_KEY, UNDO_PATH } from "../../src/model/drill.ts";
import type { DrilldStatus } from "../../src/model/status.ts";
import { tellSocket } from "../../src/serve/ask.ts";
import { etcdFile } from "./credentials.ts";
import { etcdctl, PEER_URL } from "./etcd.ts";
import { type Lab, waitFor } from "./lab.ts";
import { type ClusterPlan, ETCD_PORT, etcdNode } from "./plan.ts";
import { agentId, drilldStatus, etcdId, exporterId, mirrorId, standbyId, startArgv, startDrilld } from "./programs.ts";
import { allowListFile, drilldSettings } from "./settings.ts";

const ANSWERS_WITHIN_MS = 30_000;
const NETNS = "/var/run/netns";

export async function startDrills(lab: Lab): Promise<void> {
  await Promise.all(lab.plan.clusters.map((cluster) => prepare(lab, cluster)));
  await restartDrills(lab);
}

/** Those that do not run; waits until they answer. */
export async function restartDrills(lab: Lab): Promise<void> {
  const { clusters } = lab.plan;
  for (const cluster of clusters) startDrilld(lab, cluster, drilldSettings(lab.plan, cluster, lab.dataDirectory));
  for (const cluster of clusters) await answering(cluster);
}

function answering(cluster: ClusterPlan): Promise<DrilldStatus> {
  return waitFor(`drilld of ${cluster.name} answers`, ANSWERS_WITHIN_MS, () => drilldStatus(cluster));
}

/** What a driver that is gone was in the middle of. */
export async function undoDrills(lab: Lab): Promise<void> {
  for (const cluster of lab.plan.clusters) {
    for (const { run } of (await answering(cluster)).lasting) {
      await tellSocket(join(cluster.directory, "drilld.sock"), UNDO_PATH, { run }, ANSWERS_WITHIN_MS);
    }
  }
}

async function prepare(lab: Lab, cluster: ClusterPlan): Promise<void> {
  await etcdctl(cluster, ["put", MARKER_KEY, lab.plan.name]);
  await backUp(lab, cluster);
  writeFileSync(allowListFile(cluster), `${JSON.stringify(allowList(lab, cluster), null, 2)}\n`, { mode: 0o600 });
}

/** A data folder as an operator would have made it of a backup. */
async function backUp(lab: Lab, cluster: ClusterPlan): Promise<void> {
  const [snapshot, folder] = [`${backupOf(lab, cluster)}.snapshot`, backupOf(lab, cluster)];
  await etcdctl(cluster, ["snapshot", "save", snapshot]);
  const member = ["--name", cluster.name, "--initial-cluster", `${cluster.name}=${PEER_URL}`];
  const restored = [...member, "--initial-advertise-peer-urls", PEER_URL, "--data-dir", folder];
  await etcdctl(cluster, ["snapshot", "restore", snapshot, ...restored]);
  rmSync(snapshot);
}

const backupOf = (lab: Lab, cluster: ClusterPlan): string => join(lab.dataDirectory, `${cluster.name}.backup`);

function allowList(lab: Lab, cluster: ClusterPlan) {
  const node = etcdNode(cluster);
  const process = (id: string, command: string) => ({
    process: { pidFile: lab.pidFile(id), command, start: startArgv(lab, cluster, id) },
  });
  const data = join(lab.dataDirectory, cluster.name);
  const etcd = { config: etcdFile(cluster, "drilld"), data, backup: backupOf(lab, cluster) };
  const wanPort = { netns: join(NETNS, lab.plan.wanNetns), name: node.name };
  return {
    version: 1,
    probes: lab.pods
      .filter((pod) => pod.cluster === cluster.name && pod.name === "client")
      .map(({ name, netns, cgroup }) => ({ name, netns: join(NETNS, netns), cgroup })),
    targets: [
      {
        name: "etcd",
        faults: ["kill", "freeze", "wipe", "restore-old", "quota"],
        ...process(etcdId(cluster), `etcd --name ${cluster.name} `),
        etcd,
      },
      { name: "exporter", faults: ["kill", "freeze"], ...process(exporterId(cluster), "exporter --cluster") },
      {
        name: "kvstoremesh",
        faults: ["kill", "freeze", "thaw"],
        ...process(mirrorId(cluster), "kvstoremesh --cluster"),
      },
      { name: "standby", faults: ["start"], ...process(standbyId(cluster), "kvstoremesh --cluster") },
      ...cluster.nodes.map((each) => ({
        name: `agent-${each.number}`,
        faults: ["kill", "freeze"],
        ...process(agentId(cluster, each), "agent --cluster"),
      })),
      ...cluster.nodes.map((each) => ({
        name: `node-${each.number}`,
        faults: ["reboot"],
        ...process(agentId(cluster, each), "agent --cluster"),
        pins: each.bpfDirectory,
      })),
      {
        name: "etcd-port",
        faults: ["blackhole"],
        device: { netns: join(NETNS, node.netns), name: "eth0", port: ETCD_PORT },
      },
      { name: "traffic", faults: ["drain"], exporter: { socket: join(cluster.directory, "exporter.sock") } },
      { name: "link", faults: ["flap", "link-down"], device: wanPort },
    ],
  };
}
