/** What the mirror says of the remotes, and how long ago, as metrics. What is not told any more disappears. */
import type { PeerGrade, PeersStatus } from "../../model/status.ts";
import type { Metrics } from "../../runtime/metrics.ts";

const LEVELS: Readonly<Record<PeerGrade, number>> = { fresh: 0, suspect: 1, stale: 2, unproven: 3, unknown: 4 };

export function measurePeers(metrics: Metrics, { ageMs, remotes }: PeersStatus): void {
  const grades = metrics.gauge(
    "bulkhead_peer_grade",
    "A remote in the mirror's words: 0 fresh, 1 suspect, 2 stale, 3 unproven, 4 unknown.",
    ["remote"],
  );
  const ages = metrics.gauge("bulkhead_peer_grade_age_seconds", "Since that word was last seen to change.", ["remote"]);
  grades.clear();
  ages.clear();
  for (const { cluster: remote, grade } of remotes) {
    grades.set(LEVELS[grade], { remote });
    if (ageMs !== undefined) ages.set(ageMs / 1000, { remote });
  }
}
