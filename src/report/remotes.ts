/** What `bulkhead remotes` prints: a block a remote. */
import type { HoldStatus, MirrorStatus, ProgramStatus, RemoteStatus } from "../model/status.ts";
import { duration, safeText, table } from "./text.ts";

const yesNo = (value: boolean): string => (value ? "yes" : "no");

/** In one phrase, and never better than what is proven. */
export function verdict({ connected, synced, phase, grade, ageMs }: RemoteStatus): string {
  if (ageMs === undefined) return "unproven: nothing says yet that the cache is this cluster's state";
  const age = `as of ${duration(ageMs)} ago`;
  if (!synced) return `incomplete, ${age}`;
  if (!connected || phase !== "watching") return `not followed just now; the cache is its state ${age} (${grade})`;
  return grade === "fresh" ? `followed; the cache is its state ${age}` : `${grade}; the cache is its state ${age}`;
}

function configText({ config, configured }: RemoteStatus): string {
  const file = configured ? "" : ", no configuration file";
  if (config === undefined) return `not known yet${file}`;
  const { id, cached, syncedCanaries, serviceExportsEnabled: exports, endpointSlicesExportMode } = config;
  const parts = [
    `id ${id}`,
    cached ? "behind a kvstoremesh" : "its own state",
    syncedCanaries ? "canaries" : "no canaries",
    `service exports ${exports === undefined ? "not known to it" : exports ? "on" : "off"}`,
    `endpoint slices ${endpointSlicesExportMode || "off"}`,
  ];
  return parts.join(", ") + file;
}

function failureText({ failures, losses, lastLossAt, lastFailureAt }: RemoteStatus): string {
  const loss = lastLossAt === undefined ? "" : ` (last ${lastLossAt})`;
  const failure = lastFailureAt === undefined ? "" : `, last failure ${lastFailureAt}`;
  return `${losses} connections lost${loss}, ${failures} tries failed${failure}`;
}

/** Keys in the cache, of all kinds; undefined until all of them were counted. */
export function cachedKeys({ entries, syncedKinds }: RemoteStatus): number | undefined {
  if (Object.keys(syncedKinds).some((kind) => entries[kind] === undefined)) return undefined;
  return Object.values(entries).reduce((sum, count) => sum + count, 0);
}

function kindRows({ entries, readKinds, syncedKinds, rejectedKinds, holds }: RemoteStatus): readonly string[][] {
  return Object.keys(syncedKinds).map((kind) => [
    kind,
    String(entries[kind] ?? "unknown"),
    yesNo(readKinds[kind] === true),
    yesNo(syncedKinds[kind] === true),
    String(rejectedKinds[kind] ?? 0),
    String(holds.reduce((sum, hold) => sum + (hold.kind === kind ? hold.keys : 0), 0)),
  ]);
}

function holdText({ kind, state, withdrawals, keys, ageMs, confirmsInMs, example }: HoldStatus): string {
  const end = confirmsInMs === undefined ? "until an operator decides" : `confirmable in ${duration(confirmsInMs)}`;
  return `${kind} ${state} for ${duration(ageMs)}, ${end}: ${withdrawals} withdrawals, ${keys} keys, such as ${example}`;
}

function block(owner: string, remote: RemoteStatus): string {
  const { phase, connected, etcdClusterId, heartbeatSilent, breaker, parked, rejected, holds, lastError } = remote;
  const lines: readonly (readonly [string, string])[] = [
    ["state", verdict(remote)],
    ["phase", `${phase}, ${connected ? "connected" : "not connected"}, breaker ${breaker}`],
    ["config", configText(remote)],
    ["etcd", `cluster ${etcdClusterId ?? "not known yet"}${heartbeatSilent ? ", no heartbeat" : ""}`],
    ["failures", failureText(remote)],
    ["set aside", `${rejected} refused, ${parked} parked`],
    ...holds.map((hold) => ["held", holdText(hold)] as const),
    ...(lastError === undefined ? [] : [["error", lastError] as const]),
  ];
  const facts = lines.map(([name, text]) => `  ${name.padEnd(10)}${safeText(text)}`);
  const kinds = table(["KIND", "ENTRIES", "READ", "SYNCED", "REFUSED", "HELD"], kindRows(remote));
  return [`${safeText(remote.name)}, as ${safeText(owner)} sees it`, ...facts, kinds.replace(/^/gm, "  ")].join("\n");
}

function mirrorText(mirror: MirrorStatus): string {
  const owner = mirror.leader ? mirror.cluster : `${mirror.cluster} (a standby, which follows nobody)`;
  if (mirror.remotes.length === 0) return `${safeText(owner)}: no remote is configured`;
  return mirror.remotes.map((remote) => block(owner, remote)).join("\n\n");
}

function isMirror(status: ProgramStatus): status is MirrorStatus {
  return status.program === "kvstoremesh";
}

/** The remotes of every mirror among `statuses`, by cluster and name. */
export function remotesText(statuses: readonly ProgramStatus[]): string {
  const mirrors = statuses.filter(isMirror).sort((left, right) => (left.cluster < right.cluster ? -1 : 1));
  return mirrors.length === 0 ? "no kvstoremesh answers here" : mirrors.map(mirrorText).join("\n\n");
}
