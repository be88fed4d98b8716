/** Data paths to the remotes and what follows, as metrics. Remotes that are gone disappear. */
import { type DataPath, HEALTH_DECISIONS, type HealthStatus } from "../../model/health.ts";
import type { Metrics } from "../../runtime/metrics.ts";

const PATHS: Readonly<Record<DataPath, number>> = { unknown: 0, alive: 1, dead: 2 };

export function measureHealth(metrics: Metrics, { suspectsItself, remotes }: HealthStatus): void {
  const paths = metrics.gauge("bulkhead_data_path", "From this node to a remote: 0 unknown, 1 alive, 2 dead.", [
    "remote",
  ]);
  const decisions = metrics.gauge(
    "bulkhead_remote_decision",
    "What becomes of a remote here: 0 normal, 1 keep, 2 demote, 3 take-out.",
    ["remote"],
  );
  paths.clear();
  decisions.clear();
  for (const { cluster: remote, dataPath, decision } of remotes) {
    paths.set(PATHS[dataPath], { remote });
    decisions.set(HEALTH_DECISIONS.indexOf(decision), { remote });
  }
  metrics.gauge("bulkhead_suspects_itself", "Whether this node lost most remotes at once.").set(suspectsItself ? 1 : 0);
}
