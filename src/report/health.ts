/** Whether a node reaches the remotes, and what it makes of that. */
import type { Connections, HealthDecision, HealthStatus, RemoteHealth } from "../model/health.ts";
import { duration, safeText } from "./text.ts";

const DECISIONS: Readonly<Record<HealthDecision, string>> = {
  normal: "",
  keep: ", kept",
  demote: ", demoted",
  "take-out": ", taken out while others exist",
};

/** `data paths: osaka dead since 12 s (0 of 4 answer), demoted; virginia alive since 3 min (4 of 4 answer)`, and a line when it suspects itself. */
export function healthLines({ suspectsItself, remotes }: HealthStatus): readonly string[] {
  if (remotes.length === 0) return [];
  const self = "it lost most remotes at once and suspects itself: nothing is demoted here";
  return [safeText(`data paths: ${remotes.map(pathText).join("; ")}`), ...(suspectsItself ? [self] : [])];
}

function pathText({ cluster, dataPath, sinceMs, targets, answered, connections, decision }: RemoteHealth): string {
  const none = dataPath === "unknown" && targets === 0;
  const probed = none ? "nothing to probe" : `${answered} of ${targets} answer`;
  const met = connections === undefined || connections.started === 0 ? "" : `; ${connectionsText(connections)}`;
  const since = dataPath === "unknown" ? "" : ` since ${duration(sinceMs)}`;
  return `${cluster} ${dataPath}${since} (${probed}${met})${DECISIONS[decision]}`;
}

/** Of workloads, in the last minute. */
function connectionsText({ started, established, refused, silent }: Connections): string {
  return `of ${started} connections ${established} established, ${refused} refused, ${silent} silent`;
}
