/** `bulkhead agent`: one per node; follows the local etcd and programs the node's eBPF maps. */
import { runProgram } from "../../runtime/lifecycle.ts";
import { runAgent } from "./assemble.ts";
import { agentSettings } from "./settings.ts";

export function main(argv: readonly string[]): Promise<void> {
  return runProgram("agent", agentSettings, argv, runAgent);
}
