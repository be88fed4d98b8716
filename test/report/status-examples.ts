/** An agent's status for the tests of what is printed of it. */
import { DROP_REASONS, type DropReason } from "../../src/model/flow.ts";
import type { AgentStatus } from "../../src/model/status.ts";

export const base = { cluster: "amsterdam", pid: 1, uptimeMs: 61_000, problems: [] };

export const noDrops = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>;

export function agent(node: string): AgentStatus {
  return {
    ...base,
    program: "agent",
    node,
    readiness: { ready: true, detail: "synced" },
    snapshot: { ageMs: 30_000, refused: [] },
    connected: true,
    synced: true,
    peers: { controlPlane: "talking", ageMs: 4_000, remotes: [{ cluster: "osaka", grade: "fresh" }] },
    health: {
      suspectsItself: false,
      remotes: [
        {
          ...{ cluster: "osaka", clusterId: 2, dataPath: "alive", sinceMs: 12_000, targets: 4, answered: 4 },
          ...{ controlPlane: "talking", decision: "normal" },
        },
      ],
    },
    maps: [{ name: "services", entries: 10, maxEntries: 65_536 }],
    adopted: 10,
    written: 0,
    removed: 0,
    services: [
      {
        namespace: "shop",
        name: "cart",
        frontends: ["10.101.0.10:80/UDP", "10.101.0.10:80/TCP"],
        affinity: "local",
        sessionAffinitySeconds: 900,
        global: true,
        backends: [
          { cluster: "amsterdam", address: "10.1.1.10:8080/TCP", used: true, why: "local" },
          { cluster: "osaka", address: "10.2.1.10:8080/TCP", used: false, why: "affinity local: local backends exist" },
        ],
      },
      { namespace: "shop", name: "empty", frontends: [], affinity: "none", global: false, backends: [] },
    ],
    endpoints: [],
    policies: [],
    drops: noDrops,
    audited: 0,
    flowsLost: 0,
  };
}
