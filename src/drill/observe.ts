/** What the programs' own statuses say of a drill's cluster: nothing else is asked, and nothing is told to them. */
import type { DrainStatus } from "../model/drain.ts";
import type { Sign } from "../model/drill.ts";
import type { AgentStatus, ExporterStatus, MirrorStatus, ProgramStatus, RemoteStatus } from "../model/status.ts";

export interface Observer {
  /** The cluster whose leading mirror says it. */
  readonly cluster: string;
  readonly remote: RemoteStatus;
}

/** One look at everybody who answered. */
export interface Look {
  readonly observers: readonly Observer[];
  /** The mirrors that lead in the drill's cluster. */
  readonly leaders: readonly Pick<MirrorStatus, "pid" | "uptimeMs">[];
  /** Who answered: `osaka/agent/osaka-1`. */
  readonly answered: ReadonlySet<string>;
  /** Why not everybody is well, a line each. */
  readonly unwell: readonly string[];
  /** Whether one of the drill's own cluster is not. */
  readonly unwellInside: boolean;
  /** Who knows of a drain of the drill's cluster, as in `answered`. */
  readonly drained: ReadonlySet<string>;
  /** Whether no node that answered gives it new connections that could go elsewhere. */
  readonly emptied: boolean;
}

/** What is said neither by the cluster nor of it. */
export function without(statuses: readonly ProgramStatus[], cluster: string | undefined): readonly ProgramStatus[] {
  return statuses
    .filter((status) => status.cluster !== cluster)
    .map((status) =>
      status.program === "kvstoremesh"
        ? { ...status, remotes: status.remotes.filter(({ name }) => name !== cluster) }
        : status,
    );
}

export function lookAt(statuses: readonly ProgramStatus[], cluster: string): Look {
  const mirrors = statuses.filter((status): status is MirrorStatus => status.program === "kvstoremesh");
  const leading = mirrors.filter(({ leader }) => leader);
  const inside = statuses.filter((status) => status.cluster === cluster);
  const agents = statuses.filter((status): status is AgentStatus => status.program === "agent");
  return {
    observers: leading.flatMap((mirror) => observersOf(mirror, cluster)),
    leaders: leading.filter((mirror) => mirror.cluster === cluster),
    answered: new Set(statuses.map(nameOf)),
    unwell: [...leaderFaults(mirrors), ...statuses.flatMap(programFaults)],
    unwellInside: inside.flatMap(programFaults).length > 0,
    drained: new Set(statuses.filter((status) => drainsOf(status, cluster).length > 0).map(nameOf)),
    emptied: agents.length > 0 && agents.every((agent) => isEmptied(agent, cluster)),
  };
}

function nameOf(status: ProgramStatus): string {
  const node = status.program === "agent" ? `/${status.node}` : "";
  return `${status.cluster}/${status.program}${node}`;
}

function drainsOf(status: ProgramStatus, cluster: string): readonly DrainStatus[] {
  const drains = status.program === "exporter" || status.program === "agent" ? status.drains : undefined;
  return (drains ?? []).filter((drain) => drain.cluster === cluster);
}

/** The whole cluster is at weight 0, and its backends serve only where no other cluster's do. */
function isEmptied(agent: AgentStatus, cluster: string): boolean {
  const isDrained = drainsOf(agent, cluster).some(({ service, weight }) => service === undefined && weight === 0);
  const isChosen = agent.services.some(({ global, backends }) => {
    const clusters = new Set(backends.filter(({ used }) => used).map((backend) => backend.cluster));
    return global && clusters.has(cluster) && clusters.size > 1;
  });
  return isDrained && !isChosen;
}

function observersOf({ cluster, remotes }: MirrorStatus, target: string): readonly Observer[] {
  return remotes.filter(({ name }) => name === target).map((remote) => ({ cluster, remote }));
}

/** Each cluster with mirrors has one that leads. */
function leaderFaults(mirrors: readonly MirrorStatus[]): readonly string[] {
  return [...Map.groupBy(mirrors, ({ cluster }) => cluster)].flatMap(([cluster, members]) => {
    const leaders = members.filter(({ leader }) => leader).length;
    return leaders === 1 ? [] : [`${cluster}: ${leaders} mirrors lead`];
  });
}

function mirrorFaults({ cluster, remotes, leader }: MirrorStatus): readonly string[] {
  const unwell = remotes.filter((remote) => leader && !isWell(remote));
  return unwell.map(({ name }) => `${cluster} is not in touch with ${name}`);
}

function isWell({ connected, synced, breaker, grade, holds }: RemoteStatus): boolean {
  return connected && synced && breaker === "closed" && grade === "fresh" && holds.length === 0;
}

function programFaults(status: ProgramStatus): readonly string[] {
  if (status.program === "exporter") return exporterFaults(status);
  if (status.program === "kvstoremesh") return mirrorFaults(status);
  if (status.program !== "agent" || (status.synced && status.connected)) return [];
  return [`${nameOf(status)} is not synced`];
}

function exporterFaults(status: ExporterStatus): readonly string[] {
  return status.leader && !status.synced ? [`${nameOf(status)} is not synced`] : [];
}

/** Whether the sign is seen at every observer of before. */
export function isSeen(sign: Sign, before: Look, now: Look): boolean {
  if (sign === "inside") return now.unwellInside;
  if (sign === "drained") return now.emptied;
  if (sign === "leader") return now.leaders.some((leader) => !before.leaders.some((was) => isSame(was, leader)));
  return before.observers.every((was) => {
    const remote = now.observers.find(({ cluster }) => cluster === was.cluster)?.remote;
    return remote !== undefined && SEEN[sign](was.remote, remote);
  });
}

/** In containers all have the same pid; but nobody grows younger. */
function isSame(was: Look["leaders"][number], now: Look["leaders"][number]): boolean {
  return was.pid === now.pid && was.uptimeMs <= now.uptimeMs;
}

const SEEN: Readonly<
  Record<Exclude<Sign, "leader" | "inside" | "drained">, (was: RemoteStatus, now: RemoteStatus) => boolean>
> = {
  unwell: (_was, now) => !now.connected || now.breaker !== "closed" || now.grade !== "fresh",
  held: (_was, now) => now.holds.length > 0,
  lost: (was, now) => now.losses > was.losses || !now.connected,
};

/**
 * Of the drill's cluster, at those observers of before that answer; of one that does not, what it had: its cache is not its own to lose. The same
 * of a kind that a mirror has not counted since it leads.
 */
export function entriesKept(before: Look, now: Look): number {
  let kept = 0;
  for (const { cluster, remote } of before.observers) {
    const found = now.observers.find((observer) => observer.cluster === cluster);
    for (const [kind, count] of Object.entries(remote.entries)) {
      kept += Math.min(count, found?.remote.entries[kind] ?? count);
    }
  }
  return kept;
}

export const entriesOf = (look: Look): number => entriesKept(look, look);

/** Why the mesh is not yet as it was before, a line each. */
export function differences(before: Look, now: Look): readonly string[] {
  const silent = [...before.answered].filter((name) => !now.answered.has(name));
  const drained = [...now.drained].filter((name) => !before.drained.has(name));
  const kept = entriesKept(before, now);
  const known = entriesOf(before);
  return [
    ...silent.map((name) => `${name} does not answer`),
    ...now.unwell,
    ...drained.map((name) => `${name} knows of a drain still`),
    ...(kept === known ? [] : [`${known - kept} entries are not there again`]),
  ];
}
