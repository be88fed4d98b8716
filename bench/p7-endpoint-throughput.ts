/** P7: one TCP stream between two pods of a node: no program, our programs on both pods' devices, iptables with conntrack. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BenchStage, inNetns } from "./stage.ts";

const INSIDE = fileURLToPath(new URL("p7-inside.ts", import.meta.url));

export async function endpointThroughput(): Promise<void> {
  const stage = new BenchStage();
  try {
    const { client, server, pins } = stage;
    const argv = inNetns(stage.node, process.execPath, INSIDE, JSON.stringify({ client, server, pins }));
    const { status } = spawnSync(argv[0], argv.slice(1), { stdio: "inherit" });
    if (status !== 0) throw new Error(`the bench inside the node's namespace ended with ${status}`);
  } finally {
    stage.close();
  }
}
