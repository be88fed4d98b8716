/** Endpoint slices: `cilium/state/endpointslices/v1/<cluster>/<namespace>/<slice>` -> addresses with conditions. Protobuf in one zstd frame. */
import { zstdCompressSync } from "node:zlib";
import type { Cluster } from "../model/cluster.ts";
import type { ClusterEndpointSlice, SliceEndpoint, SlicePort } from "../model/resource.ts";
import { isPort, isProtocol, MAX_PORT } from "./address-ports.ts";
import { readAddress } from "./addresses.ts";
import { MAX_UINT32 } from "./fields.ts";
import { sortedMap } from "./go-json.ts";
import { isDnsLabel, isDnsSubdomain } from "./names.ts";
import { refuseForeignCluster } from "./ownership.ts";
import { Message, MessageWriter } from "./protobuf.ts";
import { quote, Refusal } from "./refusal.ts";
import { expandZstd } from "./zstd.ts";

/** A slice that is longer than this is refused, however short its frame is. */
export const MAX_EXPANDED_BYTES = 4 * 1024 * 1024;
/** Kubernetes' own limit: more endpoints make another slice. */
export const MAX_ENDPOINTS = 1000;
/** Of all endpoints together. Kubernetes uses the first address of each only. */
export const MAX_ADDRESSES = 4096;

const SLICE = {
  cluster: 1,
  clusterId: 2,
  namespace: 3,
  name: 4,
  labels: 5,
  annotations: 6,
  addressType: 7,
  endpoints: 8,
  ports: 9,
} as const;
const ENDPOINT = { addresses: 1, conditions: 2, hostname: 3, nodeName: 6, zone: 7, hints: 8 } as const;
const CONDITIONS = { ready: 1, serving: 2, terminating: 3 } as const;
const PORT = { name: 1, protocol: 2, port: 3, appProtocol: 4 } as const;
/** Of hints, and of each zone in them. */
const FIRST = 1;

type AddressType = ClusterEndpointSlice["addressType"];

function readEndpoint(message: Message, type: AddressType): SliceEndpoint {
  const conditions = message.message(ENDPOINT.conditions);
  const hints = message.message(ENDPOINT.hints);
  const addresses = message.texts(ENDPOINT.addresses).map((text) => {
    const address = readAddress(text, ["endpoints", "addresses"]);
    // Neither family owns an IPv4 address in IPv6 clothes.
    if (type === "IPv4" ? !text.includes(":") : !address.includes(".")) return address;
    throw new Refusal("malformed", `${quote(text)} is no ${type} address`, ["endpoints", "addresses"]);
  });
  return {
    addresses,
    ready: conditions?.flag(CONDITIONS.ready),
    serving: conditions?.flag(CONDITIONS.serving),
    terminating: conditions?.flag(CONDITIONS.terminating),
    hostname: message.text(ENDPOINT.hostname),
    nodeName: message.text(ENDPOINT.nodeName),
    zone: message.text(ENDPOINT.zone),
    forZones: hints?.messages(FIRST).map((zone) => zone.text(FIRST)) ?? [],
  };
}

function limitCount(what: string, count: number, most: number): void {
  if (count > most) throw new Refusal("too-large", `has ${count} ${what}; the limit is ${most}`);
}

/** Counts before it reads: what is small in a frame may be long outside of it. */
function readEndpoints(slice: Message, type: AddressType): readonly SliceEndpoint[] {
  limitCount("endpoints", slice.count(SLICE.endpoints), MAX_ENDPOINTS);
  const endpoints = slice.messages(SLICE.endpoints);
  const addresses = endpoints.reduce((sum, endpoint) => sum + endpoint.count(ENDPOINT.addresses), 0);
  limitCount("addresses", addresses, MAX_ADDRESSES);
  return endpoints.map((endpoint) => readEndpoint(endpoint, type));
}

function readPort(message: Message): SlicePort {
  const protocol = message.text(PORT.protocol) || "TCP";
  if (!isProtocol(protocol)) throw new Refusal("bad-port", `protocol ${quote(protocol)} is not known`, ["ports"]);
  const port = message.whole(PORT.port, MAX_PORT);
  if (port !== undefined && !isPort(port))
    throw new Refusal("bad-port", `port ${port} is not from 1 to ${MAX_PORT}`, ["ports"]);
  return { name: message.text(PORT.name), protocol, port, appProtocol: message.text(PORT.appProtocol) };
}

/** Throws a Refusal. */
export function decodeEndpointSlice(cluster: Cluster, suffix: string, value: Uint8Array): ClusterEndpointSlice {
  const message = new Message(expandZstd(value, MAX_EXPANDED_BYTES));
  const clusterId = message.whole(SLICE.clusterId, MAX_UINT32) ?? 0;
  refuseForeignCluster(cluster, message.text(SLICE.cluster), clusterId);
  const namespace = message.text(SLICE.namespace);
  const name = message.text(SLICE.name);
  if (!isDnsLabel(namespace)) throw new Refusal("malformed", `${quote(namespace)} is no namespace`, ["namespace"]);
  if (!isDnsSubdomain(name)) throw new Refusal("malformed", `${quote(name)} is no slice name`, ["name"]);
  if (`${namespace}/${name}` !== suffix) {
    throw new Refusal("wrong-key", `the value is of ${namespace}/${name}, the key of ${quote(suffix)}`);
  }
  const addressType = message.text(SLICE.addressType);
  if (addressType !== "IPv4" && addressType !== "IPv6") {
    throw new Refusal("unsupported", `${quote(addressType)} is neither IPv4 nor IPv6`, ["addressType"]);
  }
  return {
    cluster: cluster.name,
    clusterId,
    namespace,
    name,
    labels: message.textMap(SLICE.labels),
    annotations: message.textMap(SLICE.annotations),
    addressType,
    endpoints: readEndpoints(message, addressType),
    ports: message.messages(SLICE.ports).map(readPort),
  };
}

function writeEndpoint(endpoint: SliceEndpoint): Uint8Array {
  const { ready, serving, terminating } = endpoint;
  const writer = new MessageWriter();
  for (const address of endpoint.addresses) writer.text(ENDPOINT.addresses, address);
  const conditions = new MessageWriter()
    .flag(CONDITIONS.ready, ready)
    .flag(CONDITIONS.serving, serving)
    .flag(CONDITIONS.terminating, terminating);
  const hints = new MessageWriter();
  for (const zone of endpoint.forZones) hints.bytes(FIRST, new MessageWriter().text(FIRST, zone).finish());
  return writer
    .bytes(ENDPOINT.conditions, conditions.finish())
    .text(ENDPOINT.hostname, endpoint.hostname || undefined)
    .text(ENDPOINT.nodeName, endpoint.nodeName || undefined)
    .text(ENDPOINT.zone, endpoint.zone || undefined)
    .bytes(ENDPOINT.hints, endpoint.forZones.length > 0 ? hints.finish() : undefined)
    .finish();
}

function writePort({ name, protocol, port, appProtocol }: SlicePort): Uint8Array {
  return new MessageWriter()
    .text(PORT.name, name)
    .text(PORT.protocol, protocol)
    .whole(PORT.port, port)
    .text(PORT.appProtocol, appProtocol || undefined)
    .finish();
}

export function encodeEndpointSlice(slice: ClusterEndpointSlice): Uint8Array {
  const writer = new MessageWriter()
    .text(SLICE.cluster, slice.cluster)
    .whole(SLICE.clusterId, slice.clusterId)
    .text(SLICE.namespace, slice.namespace)
    .text(SLICE.name, slice.name)
    .textMap(SLICE.labels, sortedMap(slice.labels))
    .textMap(SLICE.annotations, sortedMap(slice.annotations))
    .text(SLICE.addressType, slice.addressType);
  for (const endpoint of slice.endpoints) writer.bytes(SLICE.endpoints, writeEndpoint(endpoint));
  for (const port of slice.ports) writer.bytes(SLICE.ports, writePort(port));
  return zstdCompressSync(writer.finish());
}
