/**
 * What the status page shows, as JSON: all clusters whose programs this machine can ask, what each knows of the others, and what nobody said.
 * Nothing is made up: what is not known is absent, and the page says so.
 */
import type { MeshEvent } from "../model/event.ts";
import type { Connections, DataPath } from "../model/health.ts";
import type {
  AgentStatus,
  ExporterStatus,
  HoldStatus,
  MirrorStatus,
  PeerGrade,
  PeersStatus,
  ProgramStatus,
  RemoteStatus,
  SetAside,
} from "../model/status.ts";
import { cachedKeys } from "./remotes.ts";

/** Rows of one table; what is beyond is counted. */
const MOST_ROWS = 200;

/** A program that did not answer. */
export interface PageSilent {
  /** Path below the run folder: `osaka/agent-osaka-1.sock`. */
  readonly socket: string;
  readonly error: string;
}

export interface PageEvents {
  /** `none`: no NATS is configured. `away`: it cannot be read now, `error` says why. */
  readonly source: "none" | "away" | "read";
  readonly error?: string;
  /** Newest first. */
  readonly recent: readonly MeshEvent[];
  /** Newest first: drills have few events, and are not pushed out by others. */
  readonly drills: readonly MeshEvent[];
  /** Events told in each `stepMs`, oldest first; the last ends at `endMs` of the wall clock. */
  readonly rate: { readonly stepMs: number; readonly endMs: number; readonly counts: readonly number[] };
}

/** What was asked of the programs of this machine. */
export interface PageInput {
  /** The cluster of the kvstoremesh that serves the page. */
  readonly cluster: string;
  readonly wallMs: number;
  readonly statuses: readonly ProgramStatus[];
  readonly silent: readonly PageSilent[];
  /** By cluster: values of its remotes that are not in its cache. */
  readonly setAside: ReadonlyMap<string, readonly SetAside[]>;
  readonly events: PageEvents;
}

export interface PageProgram {
  /** `exporter`, `kvstoremesh`, or `agent osaka-1`. */
  readonly name: string;
  /** `idle`: it waits to lead. */
  readonly state: "well" | "idle" | "behind" | "silent";
  /** In a few words. */
  readonly detail: string;
}

export interface PageCluster {
  readonly name: string;
  /** None of its programs is on this machine: what is shown of it is what others say. */
  readonly elsewhere: boolean;
  readonly programs: readonly PageProgram[];
  /** The oldest that a node's view of its own etcd is: its lag. Absent where no node says. */
  readonly lagMs?: number;
  /** Writes that wait for the own etcd. Absent where no mirror says. */
  readonly queued?: number;
}

/** The word of a mirror about a remote. */
export interface PageMirrorWord
  extends Pick<
    RemoteStatus,
    | "phase"
    | "connected"
    | "synced"
    | "grade"
    | "ageMs"
    | "breaker"
    | "failures"
    | "losses"
    | "rejected"
    | "parked"
    | "lastError"
  > {
  /** Keys in the cache; absent: they were not counted yet. */
  readonly entries?: number;
  /** Keys whose withdrawal is not believed. */
  readonly held: number;
}

export interface PageNodeWord {
  readonly node: string;
  readonly controlPlane: PeersStatus["controlPlane"];
  readonly grade: PeerGrade;
}

/** What cluster `from` knows of cluster `to`. */
export interface PagePair {
  readonly from: string;
  readonly to: string;
  /** Absent: no mirror of `from` answers here. */
  readonly mirror?: PageMirrorWord;
  /** What the nodes of `from` heard of its mirror. */
  readonly nodes: readonly PageNodeWord[];
  /** Whether traffic from one gets to the other. */
  readonly dataPath: PageDataPath;
}

export interface PageDataPath {
  /** The worst that a node of `from` finds. `not probed`: no node says anything. */
  readonly state: DataPath | "not probed";
  /** Nodes that make something of it: `demote at amsterdam-1`. */
  readonly decisions: readonly string[];
  /** Addresses that nodes of `from` probe, and how many answered the last time: of all nodes together. */
  readonly targets: number;
  readonly answered: number;
  /** Of workloads on all these nodes, in the last minute. Absent where no node counts them. */
  readonly connections?: Connections;
}

export interface PageHold extends HoldStatus {
  readonly cluster: string;
  readonly remote: string;
}

export interface PageSetAside extends SetAside {
  readonly cluster: string;
}

export interface PageProblem {
  readonly cluster: string;
  readonly program: string;
  readonly line: string;
}

/** Of a table: its first rows, and how many there are. */
export interface PageRows<T> {
  readonly rows: readonly T[];
  readonly total: number;
}

export interface PageState {
  readonly cluster: string;
  readonly wallMs: number;
  readonly clusters: readonly PageCluster[];
  readonly pairs: readonly PagePair[];
  readonly holds: PageRows<PageHold>;
  readonly setAside: PageRows<PageSetAside>;
  readonly problems: PageRows<PageProblem>;
  readonly silent: readonly PageSilent[];
  readonly events: PageEvents;
}

export function firstRows<T>(rows: readonly T[], most = MOST_ROWS): PageRows<T> {
  return { rows: rows.slice(0, most), total: rows.length };
}

const isMirror = (status: ProgramStatus): status is MirrorStatus => status.program === "kvstoremesh";
const isAgent = (status: ProgramStatus): status is AgentStatus => status.program === "agent";

function programName(status: ProgramStatus): string {
  return status.program === "agent" ? `agent ${status.node}` : status.program;
}

function exporterOf({ leader, synced, queued }: ExporterStatus): Omit<PageProgram, "name"> {
  if (!leader) return { state: "idle", detail: "standby" };
  if (!synced) return { state: "behind", detail: "not synced" };
  return { state: "well", detail: queued === 0 ? "leads, all written" : `leads, ${queued} writes waiting` };
}

function mirrorOf({ leader, queued }: MirrorStatus): Omit<PageProgram, "name"> {
  if (!leader) return { state: "idle", detail: "standby, or cannot lead" };
  return { state: "well", detail: queued === 0 ? "leads, all written" : `leads, ${queued} writes waiting` };
}

function agentOf({ connected, synced }: AgentStatus): Omit<PageProgram, "name"> {
  if (!synced) return { state: "behind", detail: "not synced since its start" };
  return connected
    ? { state: "well", detail: "connected, synced" }
    : { state: "behind", detail: "keeps what it had: its etcd does not answer" };
}

function stateOf(status: ProgramStatus): Omit<PageProgram, "name"> {
  switch (status.program) {
    case "exporter":
      return exporterOf(status);
    case "kvstoremesh":
      return mirrorOf(status);
    case "agent":
      return agentOf(status);
    default:
      return { state: "well", detail: "answers" };
  }
}

const programOf = (status: ProgramStatus): PageProgram => ({ name: programName(status), ...stateOf(status) });

/** `osaka/agent-osaka-1.sock` is the agent of osaka-1 in osaka, also in a folder below the run folder. */
function silentProgram({ socket, error }: PageSilent): PageProgram {
  const file = socket.slice(socket.lastIndexOf("/") + 1).replace(/\.sock$/, "");
  return { name: file.replace(/^agent-/, "agent "), state: "silent", detail: error };
}

const clusterOfSocket = ({ socket }: PageSilent): string => socket.split("/").at(-2) ?? "";

const byName = <T extends { readonly name: string }>(left: T, right: T): number => (left.name < right.name ? -1 : 1);

function clusterOf(name: string, { statuses, silent }: PageInput): PageCluster {
  const own = statuses.filter(({ cluster }) => cluster === name);
  const silentHere = silent.filter((one) => clusterOfSocket(one) === name);
  const ages = own.filter(isAgent).flatMap(({ ageMs }) => ageMs ?? []);
  const queued = own.filter(isMirror).map((mirror) => mirror.queued);
  return {
    name,
    elsewhere: own.length + silentHere.length === 0,
    programs: [...own.map(programOf), ...silentHere.map(silentProgram)].sort(byName),
    ...(ages.length > 0 && { lagMs: Math.max(...ages) }),
    ...(queued.length > 0 && { queued: Math.max(...queued) }),
  };
}

function mirrorWord(remote: RemoteStatus): PageMirrorWord {
  const { phase, connected, synced, grade, ageMs, breaker, failures, losses, rejected, parked, lastError } = remote;
  const entries = cachedKeys(remote);
  return {
    ...{ phase, connected, synced, grade, breaker, failures, losses, rejected, parked },
    ...(ageMs !== undefined && { ageMs }),
    ...(lastError !== undefined && { lastError }),
    ...(entries !== undefined && { entries }),
    held: remote.holds.reduce((total, { keys }) => total + keys, 0),
  };
}

function nodeWords(agents: readonly AgentStatus[], to: string): readonly PageNodeWord[] {
  const words = agents.flatMap(({ node, peers }) => {
    const heard = peers.remotes.find(({ cluster }) => cluster === to);
    return heard === undefined ? [] : [{ node, controlPlane: peers.controlPlane, grade: heard.grade }];
  });
  return words.sort((left, right) => (left.node < right.node ? -1 : 1));
}

const WORST_FIRST = ["dead", "alive", "unknown"] as const;

function dataPathOf(agents: readonly AgentStatus[], to: string): PageDataPath {
  const found = agents.flatMap(({ node, health }) =>
    health.remotes.filter(({ cluster }) => cluster === to).map((remote) => ({ ...remote, node })),
  );
  const state = WORST_FIRST.find((word) => found.some(({ dataPath }) => dataPath === word)) ?? "not probed";
  const unusual = found.filter(({ decision }) => decision !== "normal");
  const connections = connectionsOf(found.flatMap((each) => each.connections ?? []));
  return {
    state,
    decisions: unusual.map(({ node, decision }) => `${decision} at ${node}`).sort(),
    targets: found.reduce((total, { targets }) => total + targets, 0),
    answered: found.reduce((total, { answered }) => total + answered, 0),
    ...(connections && { connections }),
  };
}

function connectionsOf([first, ...others]: readonly Connections[]): Connections | undefined {
  if (first === undefined) return undefined;
  return others.reduce(
    (all, { started, established, refused, silent }) => ({
      started: all.started + started,
      established: all.established + established,
      refused: all.refused + refused,
      silent: all.silent + silent,
    }),
    first,
  );
}

function pairsOf(from: string, statuses: readonly ProgramStatus[]): readonly PagePair[] {
  const own = statuses.filter(({ cluster }) => cluster === from);
  const agents = own.filter(isAgent);
  const mirrors = own.filter(isMirror);
  const remotes = (mirrors.find(({ leader }) => leader) ?? mirrors[0])?.remotes ?? [];
  const heard = agents.flatMap(({ peers }) => peers.remotes.map(({ cluster }) => cluster));
  const names = [...new Set([...remotes.map(({ name }) => name), ...heard])].sort();
  return names.map((to) => {
    const remote = remotes.find(({ name }) => name === to);
    return {
      ...{ from, to, nodes: nodeWords(agents, to), dataPath: dataPathOf(agents, to) },
      ...(remote && { mirror: mirrorWord(remote) }),
    };
  });
}

/** Everything but the services, which change seldom and are many. */
export function pageState(input: PageInput): PageState {
  const { cluster, wallMs, statuses, silent, setAside, events } = input;
  const named = [cluster, ...statuses.map((status) => status.cluster), ...silent.map(clusterOfSocket)];
  const asking = [...new Set(named)].sort();
  const pairs = asking.flatMap((from) => pairsOf(from, statuses));
  const names = [...new Set([...asking, ...pairs.map(({ to }) => to)])].sort();
  const holds = statuses
    .filter(isMirror)
    .flatMap((mirror) =>
      mirror.remotes.flatMap((remote) =>
        remote.holds.map((hold) => ({ ...hold, cluster: mirror.cluster, remote: remote.name })),
      ),
    );
  const aside = [...setAside].flatMap(([owner, values]) => values.map((value) => ({ ...value, cluster: owner })));
  const problems = statuses.flatMap((status) =>
    status.problems.map((line) => ({ cluster: status.cluster, program: programName(status), line })),
  );
  return {
    ...{ cluster, wallMs, pairs, silent, events },
    clusters: names.map((name) => clusterOf(name, input)),
    holds: firstRows(holds),
    setAside: firstRows(aside),
    problems: firstRows(problems),
  };
}
