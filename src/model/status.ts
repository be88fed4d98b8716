/** Status records: what programs say of themselves on their admin socket, and what `bulkhead status` prints. */
import type { DrainStatus } from "./drain.ts";
import type { Fault } from "./drill.ts";
import type { EndpointStatus } from "./endpoint.ts";
import type { EventsStatus } from "./event.ts";
import type { DropReason } from "./flow.ts";
import type { HealthStatus } from "./health.ts";
import type { ClusterConfig } from "./resource.ts";

/** Age of what is known of a remote: fresh (proven lately), suspect, stale, or unproven (never proven by this process). */
export type Grade = "fresh" | "suspect" | "stale" | "unproven";
export type BreakerState = "closed" | "half-open" | "open";
export type RemotePhase =
  | "idle"
  | "connecting"
  | "handshake"
  | "listing"
  | "reconciling"
  | "watching"
  | "refused"
  | "draining";

export interface RemoteStatus {
  readonly name: string;
  readonly clusterId?: number;
  /** Whether a configuration file says how to reach it. */
  readonly configured: boolean;
  /** What it said of itself when it was last reached. */
  readonly config?: ClusterConfig;
  /** Of the etcd that was last reached, in hex. */
  readonly etcdClusterId?: string;
  readonly phase: RemotePhase;
  readonly connected: boolean;
  /** Its heartbeat was seen and then stayed away. */
  readonly heartbeatSilent: boolean;
  /** Everything known of the remote is in the local cache, canaries included. */
  readonly synced: boolean;
  /** By kind: all that the remote had at its last listing was received; and stands in the local cache, followed since, its canary too. */
  readonly readKinds: Readonly<Record<string, boolean>>;
  readonly syncedKinds: Readonly<Record<string, boolean>>;
  /** Keys in the local cache, by kind; without those that were not counted yet in this term. */
  readonly entries: Readonly<Record<string, number>>;
  /** Milliseconds since the last proof that the mirrored state is the remote's; absent when never proven. */
  readonly ageMs?: number;
  readonly grade: Grade;
  readonly breaker: BreakerState;
  /** Tries that failed, since its configuration changed. */
  readonly failures: number;
  /** Connections that were established and then failed, since start. */
  readonly losses: number;
  /** When the last of them failed (RFC 3339), and when anything did last: a try or a connection. */
  readonly lastLossAt?: string;
  readonly lastFailureAt?: string;
  /** Keys whose newest value is refused; by kind too. */
  readonly rejected: number;
  readonly rejectedKinds: Readonly<Record<string, number>>;
  /** Values that wait for what they belong to (an address for its node or identity). */
  readonly parked: number;
  readonly holds: readonly HoldStatus[];
  /** The index was compared with the remote, or listed from it, and no event is missing that we know of. */
  readonly audited: boolean;
  /** One line: what is wrong and how to mend it. */
  readonly lastError?: string;
}

export interface HoldSummary {
  /** What is held: a kind of keys, or `config`: the remote's configuration is gone. */
  readonly kind: string;
  /** `discarded`: an operator said no, and only an operator ends it. */
  readonly state: "held" | "discarded";
  readonly keys: number;
}

/** Withdrawals of a remote that were not believed at once: the cache holds what it held before. */
export interface HoldStatus extends HoldSummary {
  /** Backends, addresses, identities or nodes that would be lost. */
  readonly withdrawals: number;
  readonly ageMs: number;
  /** Until another listing may confirm it; absent: only an operator ends it. */
  readonly confirmsInMs?: number;
  readonly example: string;
}

/** One key whose withdrawal is not believed. */
export interface HeldKey {
  readonly remote: string;
  readonly kind: string;
  /** In the cache. */
  readonly key: string;
  readonly state: HoldStatus["state"];
  /** Backends, addresses, identities or nodes that would be lost. */
  readonly withdrawals: number;
  readonly ageMs: number;
}

/** A value of a remote that is not in the cache; an older one of the same key may be. */
export interface SetAside {
  readonly remote: string;
  /** At the remote; of a parked value, in the cache. */
  readonly key: string;
  /** Why it was refused, or `parked`. */
  readonly reason: string;
  /** One line. */
  readonly detail: string;
}

/** A remote as the mirror wrote it down for the nodes of its cluster: all of it as it was then, ages and phases too. */
export interface PeerDetail
  extends Pick<
    RemoteStatus,
    | "name"
    | "grade"
    | "ageMs"
    | "phase"
    | "connected"
    | "synced"
    | "breaker"
    | "failures"
    | "rejected"
    | "parked"
    | "entries"
    | "lastError"
  > {
  /** Of the grades that were written with it or before it. */
  readonly sequence: number;
  /** By the mirror's wall clock (RFC 3339): for a person, who knows whether clocks agree. */
  readonly writtenAt: string;
  readonly holds: readonly HoldSummary[];
}

/** `unknown`: the mirror does not say, or is silent. */
export type PeerGrade = Grade | "unknown";

/** How fresh the remotes are, as the mirror says and a node hears it. */
export interface PeersStatus {
  /** `talking`: its word was seen to change lately; `silent`: not for three of its intervals; `unproven`: not since it was listed. */
  readonly controlPlane: "talking" | "silent" | "unproven";
  /** Since its word was last seen to change: how old the grades may be. */
  readonly ageMs?: number;
  /** By cluster, sorted; all `unknown` unless the mirror talks. */
  readonly remotes: readonly { readonly cluster: string; readonly grade: PeerGrade }[];
}

/** Where an agent answers with what its local etcd holds of the remotes. */
export const PEERS_PATH = "/v1/peers";

export interface PeersAnswer {
  readonly cluster: string;
  readonly node: string;
  readonly peers: PeersStatus;
  readonly details: readonly PeerDetail[];
  /** Records that are refused, one line each. */
  readonly problems: readonly string[];
}

/** What became of values that an operator discarded. */
export interface Discarded {
  readonly remote: string;
  /** Keys whose last good value was withdrawn. */
  readonly withdrawn: number;
  /** Keys that had none in the cache, or were parked. */
  readonly forgotten: number;
}

export interface MapStatus {
  readonly name: string;
  readonly entries: number;
  readonly maxEntries: number;
  /** Entries that should be there and find no room; absent: none. */
  readonly waiting?: number;
}

export interface CertificateStatus {
  readonly file: string;
  /** RFC 3339. */
  readonly until: string;
  /** Below 0: it has ended. */
  readonly leftMs: number;
}

interface ProgramStatusBase {
  readonly cluster: string;
  readonly pid: number;
  readonly uptimeMs: number;
  /** Problems a person should mend, one line each: bad manifests, refused remotes, ... */
  readonly problems: readonly string[];
  /** Absent where events are told to nobody. */
  readonly events?: EventsStatus;
  /** The certificate that ends first; absent where none is used. */
  readonly certificate?: CertificateStatus;
}

export interface MirrorStatus extends ProgramStatusBase {
  readonly program: "kvstoremesh";
  readonly leader: boolean;
  readonly queued: number;
  readonly remotes: readonly RemoteStatus[];
}

/** What an exporter knows of one kind of an API server. */
export interface SourceKindStatus {
  readonly kind: string;
  readonly objects: number;
  /** Objects whose newest version is not taken over; `problems` says why. */
  readonly refused: number;
  /** All objects were read once; nothing is told before. */
  readonly listed: boolean;
  /** Since the server was last heard. */
  readonly ageMs: number;
  /** Why it is not up to date; "" when it is. */
  readonly fault: string;
}

export interface ExporterStatus extends ProgramStatusBase {
  readonly program: "exporter";
  readonly leader: boolean;
  readonly synced: boolean;
  readonly queued: number;
  readonly entries: Readonly<Record<string, number>>;
  /** Of an exporter that reads an API server. */
  readonly kinds?: readonly SourceKindStatus[];
  /** Of the own cluster; absent: nothing of it is drained. */
  readonly drains?: readonly DrainStatus[];
}

/** Whether a program does what it is for. */
export interface Readiness {
  readonly ready: boolean;
  /** Why, in a few words. */
  readonly detail: string;
}

/** What is on the disk for a boot at which no etcd answers. */
export interface SnapshotStatus {
  /** Since this process took the last one; absent when it took none. */
  readonly ageMs?: number;
  /** By how much the one that this process began with was older than now; absent when it began with what the kernel held. */
  readonly restoredAgeMs?: number;
  /** Files that were there at start and were not used, and why, a line each. */
  readonly refused: readonly string[];
}

/** How an agent got its first view of the local etcd. */
export interface FirstView {
  /** `resumed`: from what an agent before it wrote down and what happened since, without a listing. */
  readonly how: "resumed" | "listed";
  /** What was missed, or why it was listed. */
  readonly detail: string;
}

/** Where an exporter is told to move its cluster's traffic away, or back. */
export const DRAIN_PATH = "/v1/drain";

export interface AgentStatus extends ProgramStatusBase {
  readonly program: "agent";
  readonly node: string;
  readonly readiness: Readiness;
  readonly connected: boolean;
  /** Every source that feeds the maps was listed completely since start. */
  readonly synced: boolean;
  readonly ageMs?: number;
  readonly snapshot: SnapshotStatus;
  /** Absent: the local etcd has not answered yet. */
  readonly firstView?: FirstView;
  readonly peers: PeersStatus;
  /** Whether this node reaches the remotes, and what follows for their backends. */
  readonly health: HealthStatus;
  readonly maps: readonly MapStatus[];
  /** Entries taken over unchanged from the pinned maps at start. */
  readonly adopted: number;
  /** Map entries written and removed since start. */
  readonly written: number;
  readonly removed: number;
  readonly services: readonly ServiceStatus[];
  /** Of every cluster, as far as the node knows; absent: nothing is drained. */
  readonly drains?: readonly DrainStatus[];
  readonly endpoints: readonly EndpointStatus[];
  readonly policies: readonly PolicyStatus[];
  /** Packets dropped at this node's endpoints since the counters were created, by reason; `forwarded` stays 0. */
  readonly drops: Readonly<Record<DropReason, number>>;
  /** Packets let through by audit, answers included, since the counters were created. */
  readonly audited: number;
  /** Events that the kernel could not report: its ring was full. */
  readonly flowsLost: number;
}

/** A policy as one node has it. */
export interface PolicyStatus {
  /** `kind/namespace/name`, of a clusterwide one `kind/name`. */
  readonly name: string;
  /** `file:line` at which its document starts. */
  readonly source: string;
  readonly audit: boolean;
  /** How many of this node's endpoints it selects. */
  readonly endpoints: number;
}

/** A service as one node programs it. */
export interface ServiceStatus {
  readonly namespace: string;
  readonly name: string;
  readonly frontends: readonly string[];
  readonly affinity: string;
  readonly global: boolean;
  /** For how long a client keeps its backend; absent: each connection makes a new choice. */
  readonly sessionAffinitySeconds?: number;
  /** Lookup tables (maglev), of each frontend; absent: backends are chosen at random. */
  readonly tables?: readonly TableStatus[];
  readonly backends: readonly BackendStatus[];
}

export interface TableStatus {
  readonly frontend: string;
  readonly slots: number;
  /** Equal on nodes whose tables are equal. */
  readonly hash: string;
}

export interface BackendStatus {
  readonly cluster: string;
  /** `address:port/protocol`. */
  readonly address: string;
  readonly used: boolean;
  /** Why it is or is not used, in a few words. */
  readonly why: string;
  /** Its cluster cannot be reached from here: it serves only where there are no others. */
  readonly demoted?: true;
}

/** Where an agent answers with a MapsAnswer. */
export const MAPS_PATH = "/v1/maps";

/** What a node's kernel holds, next to what it should hold. */
export interface MapsAnswer {
  readonly cluster: string;
  readonly node: string;
  readonly maps: readonly MapComparison[];
}

export interface MapComparison {
  /** Of a map in a family, with its slot: `policies[3]`. */
  readonly name: string;
  readonly maxEntries: number;
  readonly held: number;
  readonly wanted: number;
  /** Entries that differ: wanted and not held, held and not wanted, or of another value. */
  readonly missing: number;
  readonly extra: number;
  readonly changed: number;
  /** The first of them. */
  readonly differences: readonly MapDifference[];
}

/** Fields in words, such as `address=10.0.0.1 port=80`. */
export interface MapDifference {
  readonly key: string;
  /** Absent: not held. */
  readonly kernel?: string;
  /** Absent: not wanted. */
  readonly wanted?: string;
}
/** The executor of drills at its cluster. */
export interface DrilldStatus extends ProgramStatusBase {
  readonly program: "drilld";
  /** What its allow-list admits: faults by target, and places that probes are sent from. */
  readonly targets: Readonly<Record<string, readonly Fault[]>>;
  readonly places: readonly string[];
  /** Faults that last now, and of which run each is. */
  readonly lasting: readonly { readonly run: string; readonly what: string }[];
}

export type ProgramStatus = MirrorStatus | ExporterStatus | AgentStatus | DrilldStatus;
