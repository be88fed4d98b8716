/** I12: what a mirror says of a remote is compared with what the remote and the cache hold. */

import type { RemoteStatus } from "../../../src/model/status.ts";
import { parseCacheKey, resource } from "../../../src/wire/resources.ts";
import { AUDIT_BOUND_MS, LEASE_TTL_SECONDS, LIMITS } from "../limits.ts";
import type { MirrorProcess } from "../processes.ts";
import type { SimCluster } from "../sim-cluster.ts";
import type { Stage } from "../stage.ts";
import { Truth, textOf } from "../truth.ts";

/** What is under way when a proof is noted. */
const SLACK_MS = 1_000;
/** A local etcd that lost its data is noticed by the lease at the latest. */
const RESET_MS = LEASE_TTL_SECONDS * 1_000 + 2_000;

/** Looks at every mirror that leads. */
export function checkHonesty(stage: Stage): void {
  for (const mirror of stage.mirrors) {
    const status = mirror.status();
    if (!status?.leader || mirror.isStopped) continue;
    mirror.noteSilence();
    for (const remote of status.remotes) {
      const cluster = stage.world.clusters.get(remote.name);
      if (cluster) checkRemote(stage, mirror, cluster, remote);
    }
  }
}

function checkRemote({ trace, world }: Stage, mirror: MirrorProcess, remote: SimCluster, status: RemoteStatus): void {
  const { ageMs, grade, synced } = status;
  const who = `${mirror.own.name} says of ${remote.name}`;
  if (grade === "fresh" && (ageMs === undefined || ageMs > LIMITS.suspectAfterMs)) {
    trace.violate("I12", `${who} that it is fresh, proven ${ageMs} ms ago`);
  }
  if (ageMs === undefined || !synced) return;
  const provenMs = world.clock.nowMs() - ageMs;
  const { etcd } = mirror.own;
  if (provenMs < etcd.resetMs + RESET_MS) return;
  const silent = new Set(mirror.setAside(provenMs).flatMap((key) => nameOf(remote, key) ?? []));
  const cached = cacheOf(mirror.own, remote);
  for (const name of new Set([...remote.truth.names(), ...cached.keys()])) {
    if (silent.has(name) || mirror.wasHeld(remote.name, name.slice(0, name.indexOf(" ")), provenMs)) continue;
    const behindMs = behind(remote.truth, name, cached.get(name), provenMs);
    if (behindMs === undefined || (!status.audited && behindMs <= AUDIT_BOUND_MS)) continue;
    trace.violate(
      "I12",
      `${who} that its state of ${ageMs} ms ago is in the cache, but ${name} is ${behindMs} ms older`,
    );
  }
}

/** For how long before the proof the cache's value had been out of date; undefined: it had not, or an audit is still to find it. */
function behind(truth: Truth, name: string, text: string | undefined, provenMs: number): number | undefined {
  const cached = text === undefined ? undefined : truth.said(name, text);
  const next = text === undefined ? truth.standing(name) : cached && truth.next(name, cached.version);
  if (next === undefined) return undefined;
  const silent = next.atMs <= truth.silentUntilMs;
  const behindMs = provenMs - next.atMs - (silent ? Math.max(0, truth.silentUntilMs - next.atMs) + AUDIT_BOUND_MS : 0);
  return behindMs > SLACK_MS ? Math.round(behindMs) : undefined;
}

function nameOf(remote: SimCluster, key: string): string | undefined {
  return remote.truth.nameOfStateKey(key) ?? Truth.nameOfCacheKey(key)?.name;
}

/** What is cached of a remote: name -> text. */
export function cacheOf(local: SimCluster, remote: SimCluster): ReadonlyMap<string, string> {
  const cached = new Map<string, string>();
  for (const { key, value } of local.etcd.entries("cilium/cache/")) {
    const parsed = parseCacheKey(key);
    if (parsed?.cluster === remote.name) cached.set(`${resource(parsed.kind).kind} ${parsed.suffix}`, textOf(value));
  }
  return cached;
}
