/** IP entries: `cilium/state/ip/v1/default/<address>` or `.../<address>/<bits>` -> the identity behind it. */
import { formatAddress, formatCidr, parseAddress } from "../model/address.ts";
import { type Cluster, FIRST_ALLOCATED_IDENTITY } from "../model/cluster.ts";
import type { IpEntry, NamedPort } from "../model/resource.ts";
import { isPort, isProtocol } from "./address-ports.ts";
import { cidrOf, maskBits, maskText, readAddress, readCidr, readOptionalAddress } from "./addresses.ts";
import { Fields, MAX_UINT32, Shape } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { refuseForeignIdentity } from "./ownership.ts";
import { quote, Refusal } from "./refusal.ts";

const SHAPE = new Shape([
  "IP",
  "Mask",
  "HostIP",
  "ID",
  "Key",
  "Metadata",
  "K8sNamespace",
  "K8sPodName",
  "K8sServiceAccount",
  "NamedPorts",
]);
const PORT_SHAPE = new Shape(["Name", "Port", "Protocol"]);

const HOST = 1;
const HEALTH = 4;
const REMOTE_NODE = 6;
const INGRESS = 8;

/** What a reserved identity of another cluster means here: its host is a remote node to us; all others stay at home. */
const RESERVED: ReadonlyMap<number, number> = new Map([
  [HOST, REMOTE_NODE],
  [HEALTH, HEALTH],
  [REMOTE_NODE, REMOTE_NODE],
  [INGRESS, INGRESS],
]);

type Claim = Pick<IpEntry, "address" | "bits">;

/** The key below the prefix: canonical text. */
export function ipSuffix({ address, bits }: Claim): string {
  return bits === undefined ? address : `${address}/${bits}`;
}

function readClaim(fields: Fields): Claim {
  const text = fields.text("IP");
  if (!fields.has("Mask")) return { address: readAddress(text, ["IP"]) };
  const address = parseAddress(text);
  const bits = address ? maskBits(fields.text("Mask"), address) : -1;
  if (!address || bits < 0) throw new Refusal("malformed", `${quote(text)} with this netmask is no prefix`, ["Mask"]);
  if (bits === 0) throw new Refusal("forbidden-address", "a prefix of length 0 claims every address", ["Mask"]);
  readCidr(formatCidr({ address, bits }), ["IP"]);
  return { address: formatAddress(address), bits };
}

function readIdentity(cluster: Cluster, id: number, claim: Claim): number {
  if (id >= FIRST_ALLOCATED_IDENTITY) {
    refuseForeignIdentity(cluster, id);
    return id;
  }
  const meaning = RESERVED.get(id);
  if (meaning === undefined || claim.bits !== undefined) {
    throw new Refusal("reserved-identity", `identity ${id} does not travel between clusters`, ["ID"]);
  }
  return meaning;
}

/** Ports that make no sense are left out one by one, as Cilium does: an address is worth more than the name of a port. */
function readNamedPorts(fields: Fields): readonly NamedPort[] {
  const ports: NamedPort[] = [];
  for (const item of fields.objects("NamedPorts", PORT_SHAPE)) {
    const name = item.text("Name");
    const port = item.whole("Port", MAX_UINT32);
    const protocol = item.text("Protocol");
    if (isProtocol(protocol) && isPort(port)) ports.push({ name, port, protocol });
  }
  return ports;
}

/** Throws a Refusal. */
export function decodeIp(cluster: Cluster, suffix: string, value: Uint8Array): IpEntry {
  const fields = new Fields(parseJson(value), [], SHAPE);
  const claim = readClaim(fields);
  if (ipSuffix(claim) !== suffix) {
    throw new Refusal("wrong-key", `the value is of ${ipSuffix(claim)}, the key of ${quote(suffix)}`);
  }
  fields.whole("Key", 255);
  fields.text("Metadata");
  return {
    ...claim,
    hostAddress: readOptionalAddress(fields, "HostIP"),
    identity: readIdentity(cluster, fields.whole("ID", MAX_UINT32), claim),
    namespace: fields.text("K8sNamespace"),
    podName: fields.text("K8sPodName"),
    serviceAccount: fields.text("K8sServiceAccount"),
    namedPorts: readNamedPorts(fields),
  };
}

function mask(entry: IpEntry): string | null {
  return entry.bits === undefined ? null : maskText(cidrOf(ipSuffix(entry)));
}

/** `entry.address` must be canonical. */
export function encodeIp(entry: IpEntry): Uint8Array {
  return encodeGoJson({
    IP: entry.address,
    Mask: mask(entry),
    HostIP: entry.hostAddress,
    ID: entry.identity,
    Key: 0,
    Metadata: "",
    K8sNamespace: entry.namespace || undefined,
    K8sPodName: entry.podName || undefined,
    K8sServiceAccount: entry.serviceAccount || undefined,
    NamedPorts:
      entry.namedPorts.length === 0
        ? undefined
        : entry.namedPorts.map(({ name, port, protocol }) => ({ Name: name, Port: port, Protocol: protocol })),
  });
}
