/** What a node knows of the remotes without asking their mirror: its words, and how old they are. */
import type { PeerDetail, PeersAnswer, PeersStatus } from "../model/status.ts";
import { duration, safeText, table } from "./text.ts";

/** `control plane talking, heard 4.0 s ago: osaka fresh, virginia stale`, in one line. */
export function peersLine({ controlPlane, ageMs, remotes }: PeersStatus): string {
  const heard = ageMs === undefined ? "" : `, heard ${duration(ageMs)} ago`;
  const grades = remotes.map(({ cluster, grade }) => `${cluster} ${grade}`).join(", ") || "no remotes";
  return safeText(`control plane ${controlPlane}${heard}: ${grades}`);
}

/** Only what was written: how old it is now, the node cannot know. */
function block({ cluster, node }: PeersAnswer, detail: PeerDetail): string {
  const { name, writtenAt, grade, ageMs, phase, connected, synced, breaker, failures } = detail;
  const { rejected, parked, entries, holds, lastError } = detail;
  const proof = ageMs === undefined ? "never proven" : `last proven ${duration(ageMs)} before`;
  const lines: readonly (readonly [string, string])[] = [
    ["written", `${writtenAt}, by the mirror's clock`],
    ["then", `${grade}, ${proof}, ${synced ? "complete" : "incomplete"}`],
    ["phase", `${phase}, ${connected ? "connected" : "not connected"}, breaker ${breaker}, ${failures} tries failed`],
    ["set aside", `${rejected} refused, ${parked} parked`],
    ...holds.map(({ kind, state, keys }) => ["held", `${kind} ${state}: ${keys} keys`] as const),
    ...(lastError === undefined ? [] : [["error", lastError] as const]),
  ];
  const facts = lines.map(([title, text]) => `  ${title.padEnd(10)}${safeText(text)}`);
  const rows = Object.entries(entries).map(([kind, count]) => [kind, String(count)]);
  const counts = table(["KIND", "ENTRIES"], rows).replace(/^/gm, "  ");
  return [`${safeText(name)}, as ${safeText(cluster)} wrote it down, read by ${safeText(node)}`, ...facts, counts].join(
    "\n",
  );
}

/** What one agent of each cluster read. */
export function peersText(answers: readonly PeersAnswer[]): string {
  return answers
    .map((answer) => {
      const problems = answer.problems.map((line) => `! ${safeText(line)}`);
      const head = `${safeText(answer.cluster)}: ${peersLine(answer.peers)}`;
      return [head, ...answer.details.map((detail) => block(answer, detail)), ...problems].join("\n\n");
    })
    .join("\n\n");
}
