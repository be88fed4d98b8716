/** Nodes: `cilium/state/nodes/v1/<cluster>/<node>` -> addresses, pod prefixes, labels. */
import assert from "node:assert/strict";
import { formatAddress, formatCidr, isV4, parseAddress } from "../model/address.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Node } from "../model/resource.ts";
import { cidrOf, maskBits, maskText, readCidr, readOptionalAddress } from "./addresses.ts";
import { Fields, MAX_UINT32, Shape } from "./fields.ts";
import { encodeGoJson, type GoValue, sortedMap } from "./go-json.ts";
import { parseJson, type Tree } from "./json.ts";
import { isDnsSubdomain } from "./names.ts";
import { refuseForeignCluster } from "./ownership.ts";
import { type Path, quote, Refusal } from "./refusal.ts";

const SHAPE = new Shape([
  "Name",
  "Cluster",
  "IPAddresses",
  "IPv4AllocCIDR",
  "IPv4SecondaryAllocCIDRs",
  "IPv6AllocCIDR",
  "IPv6SecondaryAllocCIDRs",
  "IPv4HealthIP",
  "IPv6HealthIP",
  "IPv4IngressIP",
  "IPv6IngressIP",
  "ClusterID",
  "Source",
  "EncryptionKey",
  "Labels",
  "Annotations",
  "WireguardPubKey",
  "BootID",
]);
const ADDRESS_SHAPE = new Shape(["Type", "IP"]);
const CIDR_SHAPE = new Shape(["IP", "Mask"]);
const INTERNAL_TYPE = "InternalIP";

/** InternalIP first. Entries without address, such as host names, are left out. */
function readAddresses(fields: Fields): Node["addresses"] {
  const addresses = fields.objects("IPAddresses", ADDRESS_SHAPE).flatMap((item) => {
    const address = readOptionalAddress(item, "IP");
    return address === "" ? [] : [{ type: item.text("Type"), address }];
  });
  return internalFirst(addresses);
}

export function internalFirst<T extends { readonly type: string }>(addresses: readonly T[]): readonly T[] {
  const rank = (item: T): number => (item.type === INTERNAL_TYPE ? 0 : 1);
  return [...addresses].sort((left, right) => rank(left) - rank(right));
}

function readNet(tree: Tree, v4: boolean, path: Path): readonly string[] {
  if (tree === null) return [];
  const fields = new Fields(tree, path, CIDR_SHAPE);
  const text = fields.text("IP");
  const address = parseAddress(text);
  const bits = address && isV4(address) === v4 ? maskBits(fields.text("Mask"), address) : -1;
  if (bits < 0) throw new Refusal("malformed", `${quote(text)} with this netmask is no prefix of this family`, path);
  if (bits === 0) throw new Refusal("forbidden-address", "a prefix of length 0 claims every address", path);
  return [formatCidr(readCidr(`${text}/${bits}`, path))];
}

function readNets(fields: Fields, family: "IPv4" | "IPv6"): readonly string[] {
  const first = `${family}AllocCIDR`;
  const later = `${family}SecondaryAllocCIDRs`;
  const v4 = family === "IPv4";
  return [
    ...readNet(fields.tree(first), v4, [first]),
    ...fields.list(later).flatMap((item, index) => readNet(item, v4, [later, index])),
  ];
}

/** Health and ingress addresses of a family: in that order, those that are there. */
function readReserved(fields: Fields, family: "IPv4" | "IPv6"): readonly string[] {
  return [`${family}HealthIP`, `${family}IngressIP`].flatMap((name) => {
    const address = readOptionalAddress(fields, name);
    if (address === "") return [];
    if (address.includes(".") !== (family === "IPv4")) throw fields.refusal(name, `must be an ${family} address`);
    return [address];
  });
}

/** Throws a Refusal. */
export function decodeNode(cluster: Cluster, suffix: string, value: Uint8Array): Node {
  const fields = new Fields(parseJson(value), [], SHAPE);
  const name = fields.text("Name");
  const clusterId = fields.whole("ClusterID", MAX_UINT32);
  refuseForeignCluster(cluster, fields.text("Cluster"), clusterId);
  if (!isDnsSubdomain(name)) throw new Refusal("malformed", `${quote(name)} is no node name`, ["Name"]);
  if (name !== suffix) throw new Refusal("wrong-key", `the value is of ${name}, the key of ${quote(suffix)}`);
  return {
    cluster: cluster.name,
    clusterId,
    name,
    addresses: readAddresses(fields),
    podCidrs: [...readNets(fields, "IPv4"), ...readNets(fields, "IPv6")],
    reservedAddresses: [...readReserved(fields, "IPv4"), ...readReserved(fields, "IPv6")],
    labels: fields.textMap("Labels"),
  };
}

function ofFamily(texts: readonly string[], v4: boolean): readonly string[] {
  return texts.filter((text) => text.includes(".") === v4);
}

function writeNet(text: string): GoValue {
  const cidr = cidrOf(text);
  return { IP: formatAddress(cidr.address), Mask: maskText(cidr) };
}

function writeNets(texts: readonly string[]): readonly [GoValue, GoValue] {
  const [first, ...later] = texts.map(writeNet);
  return [first ?? null, later.length === 0 ? null : later];
}

/** Reserved addresses are written as health, then ingress address of their family: at most two of each. */
export function encodeNode(node: Node): Uint8Array {
  const [net4, nets4] = writeNets(ofFamily(node.podCidrs, true));
  const [net6, nets6] = writeNets(ofFamily(node.podCidrs, false));
  const [health4 = "", ingress4 = "", ...more4] = ofFamily(node.reservedAddresses, true);
  const [health6 = "", ingress6 = "", ...more6] = ofFamily(node.reservedAddresses, false);
  assert.equal(more4.length + more6.length, 0, "at most two reserved addresses of a family");
  return encodeGoJson({
    Name: node.name,
    Cluster: node.cluster,
    IPAddresses: node.addresses.map(({ type, address }) => ({ Type: type, IP: address })),
    IPv4AllocCIDR: net4,
    IPv4SecondaryAllocCIDRs: nets4,
    IPv6AllocCIDR: net6,
    IPv6SecondaryAllocCIDRs: nets6,
    IPv4HealthIP: health4,
    IPv6HealthIP: health6,
    IPv4IngressIP: ingress4,
    IPv6IngressIP: ingress6,
    ClusterID: node.clusterId,
    Source: "custom-resource",
    EncryptionKey: 0,
    Labels: sortedMap(node.labels),
    Annotations: null,
    WireguardPubKey: "",
    BootID: "",
  });
}
