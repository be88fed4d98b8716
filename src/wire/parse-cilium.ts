/** Cilium's own objects: `CiliumNode`, `CiliumIdentity`, `CiliumEndpoint`, `CiliumEndpointSlice`. Numbers of identities are Cilium's, and stay what they are. */
import type { Label } from "../model/resource.ts";
import { readAddress, readOptionalAddress } from "./addresses.ts";
import { type Fields, MAX_UINT32 } from "./fields.ts";
import { labelFault, NAMESPACE_LABEL_KEY, readIdentityKey, SERVICE_ACCOUNT_LABEL_KEY } from "./identity.ts";
import type { ContainerPort, IdentityManifest, NodeManifest, PodManifest, PodsManifest } from "./manifest.ts";
import { isDnsLabel, isDnsSubdomain } from "./names.ts";
import { internalFirst } from "./node.ts";
import { readCidrs, readMetadata, readPort, readProtocol } from "./parse-metadata.ts";
import { quote, Refusal } from "./refusal.ts";

const WIREGUARD = ["network.cilium.io/wg-pub-key", "io.cilium.network.wg-pub-key"];
const MAX_RESERVED = 255;

/** Who reads an entry without its key would talk in clear to one that does not listen. */
function refuseEncryption(fields: Fields): void {
  if (fields.fields("encryption").whole("key", MAX_UINT32) === 0) return;
  throw fields.refusal(
    "encryption",
    "encryption is not carried between clusters here; turn it off, or use Cilium's mirror",
  );
}

export function parseCiliumNode(root: Fields, source: string): NodeManifest {
  const { name, labels, annotations } = readMetadata(root, true);
  const spec = root.fields("spec");
  refuseEncryption(spec);
  if (WIREGUARD.some((key) => annotations.has(key))) {
    throw new Refusal("unsupported", "encryption with WireGuard is not carried between clusters here", ["metadata"]);
  }
  const addresses = spec.objects("addresses").map((item) => {
    return { type: item.text("type"), address: readAddress(item.text("ip"), [...item.path, "ip"]) };
  });
  const reserved = ["health", "ingress"].flatMap((part) =>
    ["ipv4", "ipv6"].map((family) => readOptionalAddress(spec.fields(part), family)),
  );
  return {
    kind: "Node",
    source,
    name,
    labels,
    addresses: internalFirst(addresses),
    podCidrs: readCidrs(spec.fields("ipam"), "podCIDRs", "podCIDR"),
    reservedAddresses: reserved.filter((address) => address !== ""),
  };
}

export function parseCiliumIdentity(root: Fields, source: string): IdentityManifest | undefined {
  const name = root.fields("metadata").text("name");
  const id = readIdentityKey(name);
  const given = [...root.textMap("security-labels")].map(([text, value]) => labelOf(text, value));
  if (given.length === 0) return undefined;
  const fault = given.map(labelFault).find((line) => line !== undefined);
  if (fault !== undefined) throw new Refusal("ambiguous-labels", fault, ["security-labels"]);
  if (new Set(given.map(({ key }) => key)).size !== given.length) {
    throw new Refusal("ambiguous-labels", "a key occurs twice", ["security-labels"]);
  }
  const namespace = given.find(({ key }) => key === NAMESPACE_LABEL_KEY)?.value ?? "";
  return { kind: "Identity", source, name, labels: new Map(), namespace, id, given };
}

function labelOf(text: string, value: string): Label {
  const colon = text.indexOf(":");
  return { source: text.slice(0, Math.max(0, colon)), key: text.slice(colon + 1), value };
}

function readNamedPort(fields: Fields): ContainerPort {
  return { name: fields.text("name"), containerPort: readPort(fields, "port"), protocol: readProtocol(fields) };
}

/** Undefined while it has no identity of its own. */
export function parseCiliumEndpoint(root: Fields, source: string): PodManifest | undefined {
  const { name, namespace, annotations, terminating } = readMetadata(root, true);
  const status = root.fields("status");
  const given = status.fields("identity");
  const serviceAccount = serviceAccountOf(given.texts("labels"));
  const read = readEndpoint(status, given.whole("id", MAX_UINT32));
  return read && { ...read, source, name, namespace, annotations, terminating, serviceAccount };
}

/** Of an endpoint without an identity of its own nothing is said. */
export function parseCiliumEndpointSlice(root: Fields, source: string): PodsManifest {
  const { name, terminating } = readMetadata(root, true);
  const namespace = root.text("namespace");
  if (!isDnsLabel(namespace)) throw root.refusal("namespace", `${quote(namespace)} is no namespace`);
  const pods = root.objects("endpoints").flatMap((fields): readonly PodManifest[] => {
    const pod = fields.text("name");
    if (!isDnsSubdomain(pod)) throw fields.refusal("name", `${quote(pod)} is no name of a pod`);
    const read = readEndpoint(fields, fields.whole("id", MAX_UINT32));
    const serviceAccount = fields.text("service-account");
    return read ? [{ ...read, source, name: pod, namespace, annotations: new Map(), terminating, serviceAccount }] : [];
  });
  return { kind: "Pods", source, name, namespace, labels: new Map(), pods };
}

type EndpointFacts = Omit<
  PodManifest,
  "source" | "name" | "namespace" | "annotations" | "terminating" | "serviceAccount"
>;

/** What a CiliumEndpoint and a slice of them say alike. */
function readEndpoint(status: Fields, identity: number): EndpointFacts | undefined {
  if (identity <= MAX_RESERVED) return undefined;
  refuseEncryption(status);
  const networking = status.fields("networking");
  const podIps = networking.objects("addressing").flatMap((pair) => {
    return ["ipv4", "ipv6"].map((family) => readOptionalAddress(pair, family)).filter((address) => address !== "");
  });
  const ports = status.objects("named-ports").map(readNamedPort);
  return {
    kind: "Pod",
    labels: new Map(),
    nodeName: "",
    podIps,
    hostIp: readOptionalAddress(networking, "node"),
    ready: true,
    containers: ports.length === 0 ? [] : [{ name: "", command: [], args: [], ports }],
    identity,
  };
}

/** Of labels written `source:key=value`; "" when none says it. */
function serviceAccountOf(labels: readonly string[]): string {
  const start = `k8s:${SERVICE_ACCOUNT_LABEL_KEY}=`;
  return labels.find((label) => label.startsWith(start))?.slice(start.length) ?? "";
}
