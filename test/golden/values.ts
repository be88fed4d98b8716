/** The values that the golden files hold, and the bytes of the files. The files were written by hand from the format's description,
 * but that of the endpoint slice: protobufjs wrote it, from the message's definition. */
import { readFileSync } from "node:fs";
import type { Cluster } from "../../src/model/cluster.ts";
import type { Drain } from "../../src/model/drain.ts";
import type { MeshEvent } from "../../src/model/event.ts";
import type { Policy, Requirement } from "../../src/model/policy.ts";
import type {
  ClusterConfig,
  ClusterEndpointSlice,
  ClusterService,
  Identity,
  IpEntry,
  LocalService,
  Node,
  ServiceExport,
} from "../../src/model/resource.ts";
import type { PeerDetail } from "../../src/model/status.ts";
import type { LocalEndpoint } from "../../src/wire/local-endpoint.ts";
import type { GradesRecord } from "../../src/wire/peers.ts";

export const BERGEN: Cluster = { name: "bergen", id: 3 };

export function golden(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.golden`, import.meta.url)));
}

export const EVENT: MeshEvent = {
  version: 1,
  id: "00c0ffee12345678-42",
  time: "2026-11-27T15:04:05.678Z",
  cluster: "bergen",
  program: "kvstoremesh",
  instance: "bgo-n1.example",
  kind: "hold",
  remote: "oslo",
  severity: "warning",
  lost: 3,
  line: "oslo: 1200 withdrawals of ip (1200 keys) are held",
  details: { what: "ip", state: "held", keys: 1200, first: true },
};

export const EVENT_SUBJECT = "bulkhead.events.v1.bergen.hold";

export const IP_HOST: IpEntry = {
  address: "10.31.4.17",
  hostAddress: "192.0.2.21",
  identity: 197121,
  namespace: "shop",
  podName: "cart-7f9d",
  serviceAccount: "cart",
  namedPorts: [
    { name: "web", port: 8080, protocol: "TCP" },
    { name: "metrics", port: 9102, protocol: "TCP" },
  ],
};

export const IP_PREFIX: IpEntry = {
  address: "2001:db8:31::",
  bits: 48,
  hostAddress: "",
  identity: 197122,
  namespace: "",
  podName: "",
  serviceAccount: "",
  namedPorts: [],
};

function label(key: string, value: string): Identity["labels"][number] {
  return { source: "k8s", key, value };
}

export const IDENTITY: Identity = {
  id: 197121,
  labels: [
    label("app", "cart"),
    label("empty", ""),
    label("io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name", "shop"),
    label("io.cilium.k8s.policy.cluster", "bergen"),
    label("io.cilium.k8s.policy.serviceaccount", "cart"),
    label("io.kubernetes.pod.namespace", "shop"),
  ],
};

export const NODE: Node = {
  cluster: "bergen",
  clusterId: 3,
  name: "bgo-n1.example",
  addresses: [
    { type: "InternalIP", address: "192.0.2.21" },
    { type: "InternalIP", address: "2001:db8::21" },
    { type: "CiliumInternalIP", address: "10.31.4.1" },
  ],
  podCidrs: ["10.31.4.0/24", "10.31.6.0/23", "2001:db8:31::/48"],
  reservedAddresses: ["10.31.4.9", "10.31.4.10"],
  labels: new Map([
    ["note", "a<b&c>d"],
    ["kubernetes.io/hostname", "bgo-n1"],
  ]),
};

const BACKEND_PORTS = [
  { name: "metrics", protocol: "TCP", port: 9102 },
  { name: "web", protocol: "TCP", port: 8080 },
] as const;

export const SERVICE: ClusterService = {
  cluster: "bergen",
  clusterId: 3,
  namespace: "shop",
  name: "cart",
  frontends: new Map([["10.95.0.12", [{ name: "", protocol: "UDP", port: 53 }]]]),
  backends: new Map([
    ["2001:db8:31::11", BACKEND_PORTS],
    ["10.31.4.17", BACKEND_PORTS],
  ]),
  shared: true,
  labels: new Map([["tier", "front"]]),
  selector: new Map([["app", "cart"]]),
};

export const LOCAL_SERVICE: LocalService = {
  namespace: "shop",
  name: "cart",
  frontends: new Map([["10.95.0.12", [{ name: "web", protocol: "TCP", port: 80 }]]]),
  backends: new Map([["10.31.4.17", [{ name: "web", protocol: "TCP", port: 8080 }]]]),
  global: true,
  shared: true,
  affinity: "local",
  sessionAffinitySeconds: 900,
  algorithm: "maglev",
  ending: true,
  routing: {
    prefer: ["bergen", "oslo"],
    weights: new Map([
      ["bergen", 100],
      ["oslo", 50],
    ]),
    spillBelow: 70,
    unready: 2,
  },
};

export const ENDPOINT_SLICE: ClusterEndpointSlice = {
  cluster: "bergen",
  clusterId: 3,
  namespace: "shop",
  name: "cart-x7k2p",
  labels: new Map([["kubernetes.io/service-name", "cart"]]),
  annotations: new Map(),
  addressType: "IPv4",
  endpoints: [
    {
      addresses: ["10.31.4.17"],
      ready: true,
      serving: true,
      terminating: false,
      hostname: "cart-0",
      nodeName: "bgo-n1.example",
      zone: "bgo-a",
      forZones: ["bgo-a"],
    },
    {
      addresses: ["10.31.4.18"],
      ready: false,
      serving: true,
      terminating: true,
      hostname: "",
      nodeName: "bgo-n1.example",
      zone: "",
      forZones: [],
    },
  ],
  ports: [{ name: "http", protocol: "TCP", port: 8080, appProtocol: "kubernetes.io/h2c" }],
};

export const SERVICE_EXPORT: ServiceExport = {
  cluster: "bergen",
  namespace: "shop",
  name: "cart",
  labels: new Map([["tier", "gold"]]),
  annotations: new Map([["note", "a<b"]]),
  createdAt: "2026-03-02T10:11:12Z",
  ports: [{ name: "http", protocol: "TCP", appProtocol: "http", port: 80 }],
  type: "ClusterSetIP",
  sessionAffinity: "ClientIP",
  timeoutSeconds: 10_800,
  ipFamilies: ["IPv4", "IPv6"],
  internalTrafficPolicy: "Cluster",
  trafficDistribution: undefined,
};

export const CLUSTER_CONFIG: ClusterConfig = {
  id: 3,
  syncedCanaries: true,
  cached: false,
  maxConnectedClusters: 255,
  serviceExportsEnabled: false,
  endpointSlicesExportMode: "services-and-endpointslices",
};

export const LOCAL_ENDPOINT: LocalEndpoint = { namespace: "shop", name: "cart-7f9d", audit: true };

function is(source: string, key: string, value: string): Requirement {
  return { source, key, operator: "In", values: [value] };
}

const OWN_NAMESPACE = is("k8s", "io.kubernetes.pod.namespace", "shop");

export const POLICY: Policy = {
  kind: "CiliumNetworkPolicy",
  namespace: "shop",
  name: "cart",
  source: "shop.yaml:1",
  audit: true,
  specs: [
    {
      subject: { requirements: [OWN_NAMESPACE, is("any", "app", "cart")] },
      defaultDeny: { ingress: true, egress: true },
      rules: [
        {
          direction: "ingress",
          verdict: "allow",
          path: "ingress[0]",
          peers: [
            {
              kind: "endpoints",
              selector: {
                requirements: [
                  OWN_NAMESPACE,
                  is("any", "app", "till"),
                  is("k8s", "io.cilium.k8s.policy.cluster", "oslo"),
                  { source: "any", key: "tier", operator: "NotIn", values: ["test"] },
                ],
              },
              mentionsCluster: true,
            },
          ],
          ports: [
            { protocol: "TCP", first: 8080, last: 8090 },
            { protocol: "TCP", name: "web" },
            { protocol: "UDP", name: "web" },
            { protocol: "SCTP", name: "web" },
          ],
        },
        {
          direction: "ingress",
          verdict: "deny",
          path: "ingressDeny[0]",
          peers: [{ kind: "cidr", cidr: "203.0.113.0/24", except: ["203.0.113.7/32"] }],
        },
        {
          direction: "egress",
          verdict: "allow",
          path: "egress[0]",
          peers: [{ kind: "entity", entity: "world" }],
          ports: [
            { protocol: "ICMP", type: 8 },
            { protocol: "ICMPv6", type: 128 },
          ],
        },
      ],
    },
  ],
};

/** Several documents as an operator writes them; the first is `POLICY`. */
export function goldenPolicyText(): string {
  return new TextDecoder().decode(golden("policy-yaml"));
}

export const PEER_GRADES: GradesRecord = {
  sequence: 41,
  intervalMs: 30_000,
  grades: new Map([
    ["virginia", "suspect"],
    ["osaka", "fresh"],
    ["amsterdam", "unproven"],
    ["zagreb", "stale"],
  ]),
};

export const DRAIN: Drain = {
  all: { weight: 40, target: 0, step: 10, stepMs: 6_000 },
  services: new Map([
    ["shop/search", { weight: 0, target: 0, step: 100, stepMs: 1_000 }],
    ["shop/cart", { weight: 75, target: 100, step: 5, stepMs: 3_000 }],
  ]),
};

export const PEER_DETAIL: PeerDetail = {
  name: "osaka",
  sequence: 41,
  writtenAt: "2026-01-01T00:00:00.000Z",
  grade: "suspect",
  ageMs: 42_100,
  phase: "connecting",
  connected: false,
  synced: true,
  breaker: "half-open",
  failures: 3,
  rejected: 2,
  parked: 1,
  entries: { nodes: 3, identities: 9, ip: 20, services: 4 },
  holds: [
    { kind: "services", state: "held", keys: 3 },
    { kind: "config", state: "discarded", keys: 36 },
  ],
  lastError: "connect ECONNREFUSED 192.0.2.7:2379",
};
