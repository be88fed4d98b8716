/**
 * Containers as the Kubernetes objects that they stand for: each is a pod, and those that name ports are behind a service. The objects are
 * put together as documents and read by the parsers of documents, so that labels of containers are judged as manifests are.
 */
import { type Cidr, formatCidr } from "../model/address.ts";
import type { Container } from "./container.ts";
import { Fields } from "./fields.ts";
import type { Tree } from "./json.ts";
import type { Manifest, PodManifest, ServiceManifest } from "./manifest.ts";
import { parsePod } from "./parse-pod.ts";
import { MAX_SESSION_AFFINITY_SECONDS, parseService } from "./parse-service.ts";
import { judging, quote, Refusal } from "./refusal.ts";
import { giveAddresses, type ServiceAddresses } from "./service-addresses.ts";
import { SERVICE_ANNOTATIONS } from "./service-routing.ts";

/** Labels that speak to Bulkhead. */
const OWN = "bulkhead.";
const NAMESPACE = "bulkhead.namespace";
/** Also the label by which a service selects its containers, and part of their identity. */
const SERVICE = "bulkhead.service";
const PORTS = "bulkhead.ports";
const ADDRESS = "bulkhead.address";
/** Seconds for which a client keeps its backend. */
const SESSION_AFFINITY = "bulkhead.session-affinity";
const KNOWN: ReadonlySet<string> = new Set(["bulkhead.cluster", NAMESPACE, SERVICE, PORTS, ADDRESS, SESSION_AFFINITY]);
const COMPOSE_SERVICE = "com.docker.compose.service";
const COMPOSE_PROJECT = "com.docker.compose.project";

/** Labels of tools, images and annotations: they say nothing of what a container may do. Each is the beginning of a key. */
const NO_IDENTITY: readonly string[] = [
  OWN,
  "com.docker.",
  "desktop.docker.",
  "io.cilium/",
  "maintainer",
  "org.label-schema.",
  "org.opencontainers.",
  "org.testcontainers",
  "policy.bulkhead.io/",
  SERVICE_ANNOTATIONS,
  "service.cilium.io/",
];

export interface ContainerPlace {
  /** Name of the Node manifest that stands for the engine's host. */
  readonly node: string;
  /** Services that ask for no address get one of these, by their name; absent: none. */
  readonly serviceCidr?: Cidr | undefined;
}

export interface ContainerManifests {
  readonly objects: readonly Manifest[];
  /** One line each. */
  readonly problems: readonly string[];
  /** What services that ask for no address were given. */
  readonly addresses: ServiceAddresses;
}

/** Service -> address. */
export type GivenAddresses = ServiceAddresses["given"];

/**
 * Objects of all containers. Of two that disagree on one object, one that runs goes before one that does not, then the older; so do their
 * services, where two would have one address and neither had it `before`.
 */
export function containerManifests(
  containers: readonly Container[],
  place: ContainerPlace,
  before: GivenAddresses = new Map(),
): ContainerManifests {
  const pods: PodManifest[] = [];
  const services = new Map<string, ServiceManifest>();
  const problems: string[] = [];
  for (const container of [...containers].sort(byPrecedence)) {
    const source = `docker:${container.id}`;
    const read = judging(container.id, () => readContainer(container, source, place));
    if (!read.ok) {
      problems.push(`${source}: container ${quote(container.name)}: ${read.rejection.detail}; ${MEND}`);
      continue;
    }
    const { pod, service } = read.value;
    pods.push(pod);
    if (service === undefined) continue;
    const key = `${service.namespace}/${service.name}`;
    const first = services.get(key);
    if (first === undefined) services.set(key, service);
    else if (!sameService(first, service)) problems.push(differsLine(key, first, service));
  }
  const addresses = addressesOf(services, place.serviceCidr, before);
  const addressed = [...services].map(([key, service]) => {
    const address = addresses.given.get(key);
    return address === undefined ? service : { ...service, clusterIps: [address] };
  });
  const full = addresses.refused.map((key) => fullLine(key, services.get(key)?.source, place.serviceCidr));
  return { objects: [...pods, ...addressed], problems: [...problems, ...full], addresses };
}

function addressesOf(
  services: ReadonlyMap<string, ServiceManifest>,
  cidr: Cidr | undefined,
  before: GivenAddresses,
): ServiceAddresses {
  if (cidr === undefined) return { given: new Map(), moved: [], refused: [] };
  const asked = new Map<string, string>();
  for (const [key, { clusterIps }] of services) for (const address of clusterIps) asked.set(address, key);
  const wanting = [...services].flatMap(([key, { clusterIps }]) => (clusterIps.length === 0 ? [key] : []));
  return giveAddresses({ services: wanting, cidr, asked, before });
}

function fullLine(key: string, source: string | undefined, cidr: Cidr | undefined): string {
  const range = cidr === undefined ? "" : ` ${formatCidr(cidr)}`;
  const mend = `make --docker-service-cidr${range} larger, or give the service a label ${ADDRESS}`;
  return `${source}: Service ${key} has no address: all are given; ${mend}`;
}

const MEND = "it is no endpoint until it was made again with other labels";

function byPrecedence(left: Container, right: Container): number {
  const running = Number(right.addresses.length > 0) - Number(left.addresses.length > 0);
  return running || left.createdSeconds - right.createdSeconds || (left.id < right.id ? -1 : 1);
}

function sameService(left: ServiceManifest, right: ServiceManifest): boolean {
  const said = ({ ports, annotations, clusterIps, sessionAffinitySeconds }: ServiceManifest): string => {
    return JSON.stringify([ports, [...annotations].sort(), clusterIps, sessionAffinitySeconds]);
  };
  return said(left) === said(right);
}

function differsLine(key: string, first: ServiceManifest, other: ServiceManifest): string {
  const what = `ports, address, session affinity or annotations of Service ${key} differ from those of ${first.source}, which count`;
  return `${other.source}: ${what}; give all its containers the same labels`;
}

interface ContainerObjects {
  readonly pod: PodManifest;
  readonly service: ServiceManifest | undefined;
}

/** Throws a Refusal. */
function readContainer(container: Container, source: string, place: ContainerPlace): ContainerObjects {
  const { labels } = container;
  for (const key of labels.keys()) {
    if (key.startsWith(OWN) && !KNOWN.has(key)) {
      throw new Refusal("unsupported", `label ${quote(key)} is not known; use ${[...KNOWN].join(", ")}`);
    }
  }
  const namespace = labels.get(NAMESPACE) ?? labels.get(COMPOSE_PROJECT) ?? "";
  const name = labels.get(SERVICE) ?? labels.get(COMPOSE_SERVICE);
  const pod = parsePod(new Fields(podTree(container, namespace, name, place.node)), source);
  const ports = labels.get(PORTS);
  if (ports === undefined) return { pod, service: undefined };
  if (name === undefined) {
    throw new Refusal("malformed", `label ${PORTS} names no service; add ${SERVICE}, or start it by Compose`);
  }
  const annotations = new Map([...labels].filter(([key]) => isAnnotation(key)));
  const spec = objectTree({
    selector: objectTree({ [SERVICE]: name }),
    ports: readPorts(ports),
    clusterIP: labels.get(ADDRESS) ?? "",
    ...readAffinity(labels.get(SESSION_AFFINITY)),
  });
  const document = objectTree({ metadata: objectTree({ name, namespace, annotations }), spec });
  return { pod, service: parseService(new Fields(document), source) };
}

function isAnnotation(key: string): boolean {
  return ["service.cilium.io/", "io.cilium/", SERVICE_ANNOTATIONS].some((prefix) => key.startsWith(prefix));
}

function objectTree(fields: Readonly<Record<string, Tree>>): ReadonlyMap<string, Tree> {
  return new Map(Object.entries(fields));
}

function podTree(container: Container, namespace: string, service: string | undefined, node: string): Tree {
  const { labels, addresses, ready } = container;
  const own = [...labels].filter(([key]) => !NO_IDENTITY.some((prefix) => key.startsWith(prefix)));
  const metadata = objectTree({
    name: container.name.toLowerCase().replaceAll("_", "-"),
    namespace,
    labels: new Map(service === undefined ? own : [...own, [SERVICE, service]]),
    annotations: labels,
  });
  const status = objectTree({
    podIPs: addresses.map((ip) => objectTree({ ip })),
    conditions: [objectTree({ type: "Ready", status: ready ? "True" : "False" })],
  });
  return objectTree({ metadata, spec: objectTree({ nodeName: node }), status });
}

function readAffinity(text: string | undefined): Readonly<Record<string, Tree>> {
  if (text === undefined) return {};
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > MAX_SESSION_AFFINITY_SECONDS) {
    const mend = `write seconds, from 1 to ${MAX_SESSION_AFFINITY_SECONDS}`;
    throw new Refusal("malformed", `label ${SESSION_AFFINITY}: ${quote(text)} is no time; ${mend}`);
  }
  const config = objectTree({ clientIP: objectTree({ timeoutSeconds: seconds }) });
  return { sessionAffinity: "ClientIP", sessionAffinityConfig: config };
}

const PORT = /^(?:([a-z0-9-]{1,63})=)?(\d{1,5})(?::(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/;

/** `[name=]port[:port of the container][/protocol]`, separated by commas: `http=80:8080,dns=53/udp`. */
function readPorts(text: string): readonly Tree[] {
  return text.split(",").map((part) => {
    const found = PORT.exec(part.trim());
    if (found === null) {
      throw new Refusal("malformed", `label ${PORTS}: ${quote(part)} is no port; write [name=]80[:8080][/udp]`);
    }
    const [, name = "", port = "", target = port, protocol = "tcp"] = found;
    const numbers = { port: Number(port), targetPort: Number(target) };
    return objectTree({ name, ...numbers, protocol: protocol.toUpperCase() });
  });
}
