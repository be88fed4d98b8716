/** One NATS for the whole lab, in the network of the first cluster's first node. Events go through it and nothing else does. */
import { join } from "node:path";
import { etcdNode, type LabPlan, type NodePlan } from "./plan.ts";

const NATS_PORT = 4222;
export const NATS_ID = "mesh/nats";

export function natsNode({ clusters: [first] }: LabPlan): NodePlan {
  if (first === undefined) throw new RangeError("the lab has no cluster");
  return etcdNode(first);
}

export function natsUrl(lab: LabPlan): string {
  return `nats://${natsNode(lab).addresses[0]}:${NATS_PORT}`;
}

export function natsArgv(lab: LabPlan, dataDirectory: string): readonly string[] {
  const [address] = natsNode(lab).addresses;
  const store = ["--jetstream", "--store_dir", join(dataDirectory, "nats")];
  return ["nats-server", "--addr", address, "--port", String(NATS_PORT), ...store];
}
