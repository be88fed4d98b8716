/** The kinds that are read from an API server: where they are, which of their fields are kept, and what they are to us. */
import type { Fields } from "./fields.ts";
import {
  type Manifest,
  NAMESPACE_GLOBAL,
  type NamespaceManifest,
  type PodManifest,
  type RefusedManifest,
  type ServiceManifest,
  type TextMap,
} from "./manifest.ts";
import { parseCiliumEndpoint, parseCiliumEndpointSlice, parseCiliumIdentity, parseCiliumNode } from "./parse-cilium.ts";
import { parseNamespace, parseNode } from "./parse-node.ts";
import { parsePod } from "./parse-pod.ts";
import { parsePolicyManifest } from "./parse-policy.ts";
import { HEADLESS, parseService } from "./parse-service.ts";
import { parseServiceExport, readExportedSpec } from "./parse-service-export.ts";
import { parseSlice } from "./parse-slice.ts";

/** Fields that are kept of an object: all of one, or some. Lists are looked into. */
export type Kept = true | { readonly [field: string]: Kept };

export interface KubeKind {
  readonly kind: RefusedManifest["what"];
  readonly apiVersion: string;
  /** Where a server does not have the first one. */
  readonly olderVersion?: string;
  readonly plural: string;
  /** A cluster may not have this kind: then there are no such objects. */
  readonly optional: boolean;
  readonly kept: Kept;
  /** Undefined when the object is of no interest. Throws a Refusal. */
  readonly parse: (root: Fields, source: string) => Manifest | undefined;
}

const METADATA = { name: true, namespace: true, labels: true, annotations: true, deletionTimestamp: true } as const;
const POLICY = { apiVersion: true, kind: true, metadata: METADATA, spec: true, specs: true } as const;
const POD = {
  metadata: METADATA,
  spec: {
    hostNetwork: true,
    nodeName: true,
    serviceAccountName: true,
    serviceAccount: true,
    containers: { ports: { name: true, containerPort: true, protocol: true } },
  },
  status: { phase: true, podIP: true, podIPs: { ip: true }, hostIP: true, conditions: { type: true, status: true } },
} as const;
const SERVICE = {
  metadata: METADATA,
  spec: {
    type: true,
    clusterIP: true,
    clusterIPs: true,
    externalIPs: true,
    loadBalancerSourceRanges: true,
    selector: true,
    ports: true,
    sessionAffinity: true,
    sessionAffinityConfig: { clientIP: { timeoutSeconds: true } },
  },
  status: { loadBalancer: { ingress: { ip: true, ipMode: true } } },
} as const;
const SLICE = {
  metadata: METADATA,
  addressType: true,
  ports: true,
  endpoints: { addresses: true, conditions: true, hostname: true, zone: true, hints: { forZones: { name: true } } },
} as const;
const NODE = { metadata: METADATA, spec: { podCIDR: true, podCIDRs: true }, status: { addresses: true } } as const;

/** Annotations that mean something here. Others are often long, and change. */
function meaningful(annotations: TextMap): TextMap {
  return new Map([...annotations].filter(([key]) => /(cilium\.io|^io\.cilium|bulkhead\.io)\//.test(key)));
}

/** A pod that shares its node's network, or has ended, is no endpoint: slices name it where it is a backend. */
function readPod(root: Fields, source: string): PodManifest | undefined {
  if (root.fields("spec").flag("hostNetwork")) return undefined;
  const phase = root.fields("status").text("phase");
  if (phase === "Succeeded" || phase === "Failed") return undefined;
  const pod = parsePod(root, source);
  const ports = pod.containers.flatMap((container) => container.ports).filter(({ name }) => name !== "");
  const containers = ports.length === 0 ? [] : [{ name: "", command: [], args: [], ports }];
  return { ...pod, annotations: meaningful(pod.annotations), containers };
}

const HEADLESS_LABEL = "service.kubernetes.io/headless";

function readService(root: Fields, source: string): ServiceManifest | undefined {
  if (root.fields("spec").text("type") === "ExternalName") return undefined;
  const service = parseService(root, source);
  const headless = service.labels.has(HEADLESS_LABEL) && { clusterIps: [HEADLESS], externalIps: [] };
  return { ...service, ...headless, annotations: meaningful(service.annotations), sliced: true };
}

/** Slices of other clusters' backends, which Cilium writes for whoever reads Kubernetes alone: to us they would be our own. */
const OF_OTHERS = "endpointslice-mesh-controller.cilium.io";
const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";

function readSlice(root: Fields, source: string): Manifest | undefined {
  if (root.text("addressType") === "FQDN") return undefined;
  const slice = parseSlice(root, source);
  return slice.service === "" || slice.labels.get(MANAGED_BY_LABEL) === OF_OTHERS
    ? undefined
    : { ...slice, labels: new Map() };
}

function readNamespace(root: Fields, source: string): NamespaceManifest {
  const namespace = parseNamespace(root, source);
  return { ...namespace, annotations: meaningful(namespace.annotations) };
}

function policyKind(kind: KubeKind["kind"], apiVersion: string, plural: string, optional: boolean): KubeKind {
  return { kind, apiVersion, plural, optional, kept: POLICY, parse: parsePolicyManifest };
}

const CORE = { apiVersion: "v1", optional: false } as const;

/** What is read of a cluster on any CNI. */
export const NATIVE_KINDS: readonly KubeKind[] = [
  { ...CORE, kind: "Namespace", plural: "namespaces", kept: { metadata: METADATA }, parse: readNamespace },
  { ...CORE, kind: "Node", plural: "nodes", kept: NODE, parse: parseNode },
  { ...CORE, kind: "Pod", plural: "pods", kept: POD, parse: readPod },
  { ...CORE, kind: "Service", plural: "services", kept: SERVICE, parse: readService },
  {
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    plural: "endpointslices",
    optional: false,
    kept: SLICE,
    parse: readSlice,
  },
  policyKind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", false),
  policyKind("CiliumNetworkPolicy", "cilium.io/v2", "ciliumnetworkpolicies", true),
  policyKind("CiliumClusterwideNetworkPolicy", "cilium.io/v2", "ciliumclusterwidenetworkpolicies", true),
];

const CILIUM_NODE = {
  metadata: METADATA,
  spec: {
    addresses: true,
    encryption: true,
    health: true,
    ingress: true,
    ipam: { podCIDRs: true },
  },
} as const;
const CILIUM_ENDPOINT = {
  metadata: METADATA,
  status: { identity: true, networking: true, encryption: true, "named-ports": true },
} as const;

function readEndpoint(root: Fields, source: string): PodManifest | undefined {
  const endpoint = parseCiliumEndpoint(root, source);
  return endpoint && { ...endpoint, annotations: meaningful(endpoint.annotations) };
}

/** A Service that others may import by the MCS-API, too. */
const EXPORTED_SERVICE = {
  ...SERVICE,
  spec: {
    ...SERVICE.spec,
    sessionAffinityConfig: true,
    ipFamilies: true,
    internalTrafficPolicy: true,
    trafficDistribution: true,
  },
} as const;

function readExportedService(root: Fields, source: string): ServiceManifest | undefined {
  const service = readService(root, source);
  return service && { ...service, exported: readExportedSpec(root.fields("spec")) };
}

const SERVICE_EXPORT: KubeKind = {
  kind: "ServiceExport",
  apiVersion: "multicluster.x-k8s.io/v1beta1",
  olderVersion: "multicluster.x-k8s.io/v1alpha1",
  plural: "serviceexports",
  optional: true,
  kept: { metadata: { name: true, namespace: true, creationTimestamp: true }, spec: true },
  parse: parseServiceExport,
};

function ofCore(kind: KubeKind["kind"]): readonly KubeKind[] {
  return NATIVE_KINDS.filter((one) => one.kind === kind);
}

const CILIUM = { apiVersion: "cilium.io/v2", optional: false } as const;

const ENDPOINTS: KubeKind = {
  ...{ ...CILIUM, kind: "CiliumEndpoint", plural: "ciliumendpoints" },
  kept: CILIUM_ENDPOINT,
  parse: readEndpoint,
};

const ENDPOINT_SLICES: KubeKind = {
  ...{ kind: "CiliumEndpointSlice", apiVersion: "cilium.io/v2alpha1", plural: "ciliumendpointslices", optional: false },
  kept: { metadata: METADATA, namespace: true, endpoints: true },
  parse: parseCiliumEndpointSlice,
};

/** What is read of a cluster that runs Cilium: nodes, identities and addresses as Cilium has them. Policies are its agents' own affair. */
const kindsOfCilium = (endpoints: KubeKind): readonly KubeKind[] => [
  ...ofCore("Namespace"),
  { ...CILIUM, kind: "CiliumNode", plural: "ciliumnodes", kept: CILIUM_NODE, parse: parseCiliumNode },
  {
    ...{ ...CILIUM, kind: "CiliumIdentity", plural: "ciliumidentities" },
    kept: { metadata: METADATA, "security-labels": true },
    parse: parseCiliumIdentity,
  },
  endpoints,
  // Before services: of those that no agent of ours serves, only the exported ones are looked at.
  SERVICE_EXPORT,
  ...ofCore("Service").map((kind) => ({ ...kind, kept: EXPORTED_SERVICE, parse: readExportedService })),
  ...ofCore("EndpointSlice"),
];

export const CILIUM_KINDS = kindsOfCilium(ENDPOINTS);
/** Where Cilium's operator batches endpoints. */
export const CILIUM_SLICED_KINDS = kindsOfCilium(ENDPOINT_SLICES);

function readHome(root: Fields, source: string): NamespaceManifest {
  const namespace = readNamespace(root, source);
  if (namespace.annotations.has(NAMESPACE_GLOBAL)) return namespace;
  return { ...namespace, annotations: new Map([...namespace.annotations, [NAMESPACE_GLOBAL, "false"]]) };
}

/** The same kinds where a namespace that does not say whether it is global is not, as a cluster of Cilium may have it. */
export function homeByDefault(kinds: readonly KubeKind[]): readonly KubeKind[] {
  return kinds.map((kind) => (kind.kind === "Namespace" ? { ...kind, parse: readHome } : kind));
}

/** Where all objects of a kind are: `/api/v1/pods`, `/apis/cilium.io/v2/ciliumnetworkpolicies`. */
export function pathOf({ plural, ...kind }: KubeKind, apiVersion = kind.apiVersion): string {
  return `/${apiVersion.includes("/") ? "apis" : "api"}/${apiVersion}/${plural}`;
}
