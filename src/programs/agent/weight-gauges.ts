/** What part of new connections clusters get as this node sees it, as metrics. */
import { FULL_WEIGHT } from "../../model/drain.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { AgentTables } from "../../tables/agent-tables.ts";

export function measureWeights(metrics: Metrics, tables: Pick<AgentTables, "clusters" | "drains">): void {
  const gauge = metrics.gauge(
    "bulkhead_cluster_weight",
    "Of 100, what part of their usual share of new connections a cluster's backends get.",
    ["cluster"],
  );
  const drains = tables.drains().filter(({ service }) => service === undefined);
  gauge.clear();
  for (const { name: cluster } of tables.clusters()) {
    gauge.set(drains.find((drain) => drain.cluster === cluster)?.weight ?? FULL_WEIGHT, { cluster });
  }
}
