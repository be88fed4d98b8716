/** Which pods stand behind a service, at which addresses and ports. Pure. */
import { isV4, parseAddress } from "../model/address.ts";
import type { AddressPorts, ServicePort } from "../model/resource.ts";
import type {
  ManifestServicePort,
  PodManifest,
  ServiceManifest,
  SliceEndpoint,
  SliceManifest,
} from "../wire/manifest.ts";

/** Pods by namespace and label, so that a service looks only at those that carry the first label of its selector. */
export class PodIndex {
  readonly #byLabel = new Map<string, PodManifest[]>();

  add(pod: PodManifest): void {
    for (const [key, value] of pod.labels) {
      const label = indexKey(pod.namespace, key, value);
      const pods = this.#byLabel.get(label);
      if (pods) pods.push(pod);
      else this.#byLabel.set(label, [pod]);
    }
  }

  /** Pods of the service's namespace that carry all labels of its selector; none when it has no selector. */
  selectedBy(service: ServiceManifest): readonly PodManifest[] {
    const selector = [...service.selector];
    const [first] = selector;
    if (!first) return [];
    const candidates = this.#byLabel.get(indexKey(service.namespace, first[0], first[1])) ?? [];
    return candidates.filter((pod) => selector.every(([key, value]) => pod.labels.get(key) === value));
  }
}

function indexKey(namespace: string, key: string, value: string): string {
  return `${namespace}/${key}=${value}`;
}

/** A pod that takes new connections. */
function isServing(pod: PodManifest): boolean {
  return pod.ready && !pod.terminating;
}

/** The port number of a service's port on one pod, or undefined when no container of the pod has a port of that name. */
function targetNumber(port: ManifestServicePort, pod: PodManifest): number | undefined {
  if (typeof port.targetPort === "number") return port.targetPort;
  for (const container of pod.containers) {
    for (const { name, containerPort, protocol } of container.ports) {
      if (name === port.targetPort && protocol === port.protocol) return containerPort;
    }
  }
  return undefined;
}

function portsOn(service: ServiceManifest, pod: PodManifest): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  for (const port of service.ports) {
    const number = targetNumber(port, pod);
    if (number !== undefined) ports.push({ name: port.name, protocol: port.protocol, port: number });
  }
  return ports;
}

/** Address families of a service: those of its cluster addresses, both when it is headless. */
export function familiesOf(service: ServiceManifest): ReadonlySet<boolean> {
  const addresses = service.clusterIps.map((text) => parseAddress(text)).filter((address) => address !== undefined);
  return new Set(addresses.length === 0 ? [true, false] : addresses.map(isV4));
}

/** Ready pods behind a service: canonical address -> ports, named as the service's own, in the families of the service. */
export function backendsOf(service: ServiceManifest, pods: PodIndex): AddressPorts {
  const families = familiesOf(service);
  const backends = new Map<string, readonly ServicePort[]>();
  for (const pod of pods.selectedBy(service)) {
    if (!isServing(pod)) continue;
    const ports = portsOn(service, pod);
    if (ports.length === 0) continue;
    for (const text of pod.podIps) {
      const address = parseAddress(text);
      if (address && families.has(isV4(address))) backends.set(text, ports);
    }
  }
  return backends;
}

export interface SliceBackends {
  readonly backends: AddressPorts;
  /** They are about to end. */
  readonly ending: boolean;
}

/** Endpoints of slices, in the families of the service: those that are ready or, when none is, those that still answer while they end. */
export function sliceBackends(service: ServiceManifest, slices: readonly SliceManifest[]): SliceBackends {
  const ready = addressesOf(service, slices, (endpoint) => endpoint.ready);
  if (ready.size > 0) return { backends: ready, ending: false };
  const backends = addressesOf(service, slices, (endpoint) => endpoint.serving);
  return { backends, ending: backends.size > 0 };
}

/** How many pods should stand behind a service and take no connections: not ready, or not running. */
export function unreadyPods(service: ServiceManifest, pods: PodIndex): number {
  return pods.selectedBy(service).filter(({ ready, terminating }) => !ready && !terminating).length;
}

/** The same by slices, of the family that has more of them: an endpoint of both is in two slices. */
export function unreadyEndpoints(slices: readonly SliceManifest[]): number {
  const counts = [true, false].map((wanted) => {
    const ofFamily = ([text = ""]: readonly string[]): boolean => text.includes(".") === wanted;
    const unready = ({ addresses, ready, terminating }: SliceEndpoint): boolean =>
      !ready && !terminating && ofFamily(addresses);
    return slices.reduce((sum, { endpoints }) => sum + endpoints.filter(unready).length, 0);
  });
  return Math.max(...counts);
}

/** Of an address that several slices name, all ports. */
function addressesOf(
  service: ServiceManifest,
  slices: readonly SliceManifest[],
  counts: (endpoint: SliceEndpoint) => boolean,
): AddressPorts {
  const families = familiesOf(service);
  const backends = new Map<string, readonly ServicePort[]>();
  for (const { endpoints, ports } of slices) {
    for (const endpoint of endpoints) {
      if (!counts(endpoint) || ports.length === 0) continue;
      for (const text of endpoint.addresses) {
        const address = parseAddress(text);
        if (address && families.has(isV4(address))) backends.set(text, mergedPorts(backends.get(text) ?? [], ports));
      }
    }
  }
  return backends;
}

function mergedPorts(known: readonly ServicePort[], more: readonly ServicePort[]): readonly ServicePort[] {
  const names = new Set(known.map(({ name }) => name));
  return [...known, ...more.filter(({ name }) => !names.has(name))];
}
