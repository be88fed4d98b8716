/** Kubernetes objects as the exporter needs them, and what their annotations say about sharing. */
import type { Policy, PolicyKind } from "../model/policy.ts";
import type {
  Affinity,
  Label,
  LoadBalancing,
  ServiceExport as ModelExport,
  Protocol,
  ServicePort,
} from "../model/resource.ts";
import type { Tree } from "./json.ts";
import { quote } from "./refusal.ts";

export type TextMap = ReadonlyMap<string, string>;

interface ManifestBase {
  readonly name: string;
  readonly labels: TextMap;
  /** `file:line` at which the document starts. */
  readonly source: string;
}

export interface NamespaceManifest extends ManifestBase {
  readonly kind: "Namespace";
  readonly annotations: TextMap;
}

export interface NodeManifest extends ManifestBase {
  readonly kind: "Node";
  /** Canonical addresses, InternalIP first; host names are left out. */
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  /** Canonical `address/bits`. */
  readonly podCidrs: readonly string[];
  /** Of health checks and of ingress, canonical. */
  readonly reservedAddresses?: readonly string[];
}

/** A number that was given to labels by somebody else: Cilium. */
export interface IdentityManifest extends ManifestBase {
  readonly kind: "Identity";
  /** Of the workloads that have it; "" when it does not say. */
  readonly namespace: string;
  readonly id: number;
  readonly given: readonly Label[];
}

export interface ManifestServicePort {
  /** "" for an unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** A number, or the name of a container's port. */
  readonly targetPort: number | string;
}

export interface ServiceManifest extends ManifestBase {
  readonly kind: "Service";
  readonly namespace: string;
  readonly annotations: TextMap;
  readonly selector: TextMap;
  /** Canonical addresses; `["None"]` for a headless service; empty when none is given. */
  readonly clusterIps: readonly string[];
  /** Further addresses at which it is reached, canonical: external ones and those of a load balancer. */
  readonly externalIps?: readonly string[];
  readonly ports: readonly ManifestServicePort[];
  /** For how long a client keeps its backend; 0: each connection goes where it may. */
  readonly sessionAffinitySeconds: number;
  /** Its backends are those of its EndpointSlices; absent: the pods that `selector` selects. */
  readonly sliced?: true;
  /** What a ServiceExport of its name says of it; absent: none is read. */
  readonly exported?: ExportedSpec;
  /** Nobody here serves it: it is read for its ServiceExport. */
  readonly unserved?: true;
}

/** Of a Service, for other clusters that import it by the MCS-API. */
export type ExportedSpec = Pick<
  ModelExport,
  | "ports"
  | "type"
  | "sessionAffinity"
  | "timeoutSeconds"
  | "ipFamilies"
  | "internalTrafficPolicy"
  | "trafficDistribution"
>;

/** Asks that the Service of its name be exported by the MCS-API, with its `labels` and `annotations`. */
export interface ExportManifest extends ManifestBase {
  readonly kind: "ServiceExport";
  readonly namespace: string;
  readonly annotations: TextMap;
  /** RFC 3339. */
  readonly createdAt: string;
}

/** Endpoints of one namespace that Cilium batched. */
export interface PodsManifest extends ManifestBase {
  readonly kind: "Pods";
  readonly namespace: string;
  readonly pods: readonly PodManifest[];
}

/** Some of the backends of a service. */
export interface SliceManifest extends ManifestBase {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  /** Name of the service; "" when it belongs to none. */
  readonly service: string;
  /** Named as the service's ports. */
  readonly ports: readonly ServicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SliceEndpoint {
  /** Canonical. */
  readonly addresses: readonly string[];
  readonly ready: boolean;
  /** Answers, though it is about to end. */
  readonly serving: boolean;
  readonly hostname?: string;
  readonly zone?: string;
  /** Zones in which it should be used. */
  readonly forZones?: readonly string[];
  /** Is about to end, or has. */
  readonly terminating: boolean;
}

export interface ContainerPort {
  /** "" for an unnamed port. */
  readonly name: string;
  readonly containerPort: number;
  readonly protocol: Protocol;
}

export interface ContainerManifest {
  readonly name: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly ports: readonly ContainerPort[];
}

export interface PodManifest extends ManifestBase {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly annotations: TextMap;
  readonly serviceAccount: string;
  /** "" until the pod is placed. */
  readonly nodeName: string;
  /** Canonical; empty until the pod runs and after it has ended. */
  readonly podIps: readonly string[];
  /** Canonical; "" when unknown. */
  readonly hostIp: string;
  /** The Ready condition; without one, whether the pod has addresses. */
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly containers: readonly ContainerManifest[];
  /** Given by Cilium; absent: that of its labels. */
  readonly identity?: number;
}

/** A network policy of any kind. */
export interface PolicyManifest extends ManifestBase {
  readonly kind: "Policy";
  /** "" for a clusterwide one. */
  readonly namespace: string;
  readonly policy: Policy;
  /** What `policy` was read from, for agents to read again. */
  readonly document: Tree;
}

/** An object that is there and was never understood: what an earlier process published for it stays. */
export interface RefusedManifest extends ManifestBase {
  readonly kind: "Refused";
  readonly what:
    | ("Namespace" | "Node" | "Service" | "EndpointSlice" | "Pod" | PolicyKind)
    | ("CiliumNode" | "CiliumIdentity" | "CiliumEndpoint" | "CiliumEndpointSlice" | "ServiceExport");
  readonly namespace: string;
  /** Of an EndpointSlice: the name of its service. */
  readonly service: string;
  /** Of a pod, canonical, as far as they can be read. */
  readonly addresses: readonly string[];
}

export type Manifest =
  | NamespaceManifest
  | ServiceManifest
  | SliceManifest
  | ExportManifest
  | PodManifest
  | PodsManifest
  | NodeManifest
  | IdentityManifest
  | PolicyManifest
  | RefusedManifest;

/** Annotation names, Cilium's present one first, then its older alias. */
const GLOBAL = ["service.cilium.io/global", "io.cilium/global-service"];
const SHARED = ["service.cilium.io/shared", "io.cilium/shared-service"];
const AFFINITY = ["service.cilium.io/affinity", "io.cilium/service-affinity"];
const ALGORITHM = ["service.cilium.io/lb-algorithm"];
export const NAMESPACE_GLOBAL = "clustermesh.cilium.io/global";

/** The first of `names` that is there. */
function find(
  annotations: TextMap,
  names: readonly string[],
): { readonly name: string; readonly value: string } | undefined {
  const name = names.find((candidate) => annotations.has(candidate));
  return name === undefined ? undefined : { name, value: annotations.get(name) ?? "" };
}

/** True for `true` in any case; anything else but `false` is a problem and counts as false. */
function readFlag(annotations: TextMap, names: readonly string[], byDefault: boolean, problems: string[]): boolean {
  const found = find(annotations, names);
  if (!found) return byDefault;
  const value = found.value.toLowerCase();
  if (value !== "true" && value !== "false") {
    problems.push(`annotation ${found.name} is ${quote(found.value)} and counts as "false"; write "true" or "false"`);
  }
  return value === "true";
}

function readAffinity(annotations: TextMap, problems: string[]): Affinity {
  const found = find(annotations, AFFINITY);
  const value = found?.value.toLowerCase();
  if (value === "local" || value === "remote") return value;
  if (found && value !== "none") {
    const fault = `annotation ${found.name} is ${quote(found.value)} and counts as "none"`;
    problems.push(`${fault}; write "none", "local" or "remote"`);
  }
  return "none";
}

function readAlgorithm(annotations: TextMap, problems: string[]): LoadBalancing | undefined {
  const found = find(annotations, ALGORITHM);
  const value = found?.value.toLowerCase();
  if (value === "random" || value === "maglev") return value;
  if (found) {
    const fault = `annotation ${found.name} is ${quote(found.value)} and does not count`;
    problems.push(`${fault}; write "random" or "maglev"`);
  }
  return undefined;
}

export interface ServiceExport {
  /** Whether backends of other clusters are used. */
  readonly global: boolean;
  /** Whether own backends are offered to others; never without `global`. */
  readonly shared: boolean;
  readonly affinity: Affinity;
  /** Undefined: as the agents are set. */
  readonly algorithm: LoadBalancing | undefined;
  /** Annotations that make no sense: what counts instead, and how to mend it. */
  readonly problems: readonly string[];
}

/** What a service's annotations say. Whether its namespace takes part is `isGlobalNamespace`. */
export function serviceExport(manifest: ServiceManifest): ServiceExport {
  const problems: string[] = [];
  const global = readFlag(manifest.annotations, GLOBAL, false, problems);
  const shared = readFlag(manifest.annotations, SHARED, true, problems) && global;
  const affinity = readAffinity(manifest.annotations, problems);
  const algorithm = readAlgorithm(manifest.annotations, problems);
  return { global, shared, affinity: global ? affinity : "none", algorithm, problems };
}

/** Whether a namespace takes part in the mesh: yes, unless it is annotated otherwise. */
export function isGlobalNamespace(manifest: NamespaceManifest): boolean {
  return (manifest.annotations.get(NAMESPACE_GLOBAL) ?? "true").toLowerCase() === "true";
}
