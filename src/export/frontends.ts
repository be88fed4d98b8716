/** At which addresses a service is reached, and who has one of several that claim the same. Pure. */
import { isV4, parseAddress } from "../model/address.ts";
import type { AddressPorts, ServicePort } from "../model/resource.ts";
import type { ServiceManifest } from "../wire/manifest.ts";
import { HEADLESS } from "../wire/parse-service.ts";
import { familiesOf } from "./backends.ts";
import type { Desired, DesiredInput } from "./parts.ts";
import type { World } from "./world.ts";
import { namespacedName } from "./world.ts";

function portsOf(service: ServiceManifest): readonly ServicePort[] {
  return service.ports.map(({ name, protocol, port }) => ({ name, protocol, port }));
}

/** The addresses of the cluster: what other clusters are told of, as by Cilium. */
export function frontendsOf(service: ServiceManifest): AddressPorts {
  const ports = portsOf(service);
  return new Map(service.clusterIps.filter((address) => address !== HEADLESS).map((address) => [address, ports]));
}

/** Further addresses of the service's families, of which only the own agents are told: those that belong to nobody else here. */
export function externalOf({ owners }: DesiredInput, service: ServiceManifest, holders: Holders): AddressPorts {
  const ports = portsOf(service);
  const families = familiesOf(service);
  const free = (service.externalIps ?? []).filter((text) => {
    const address = parseAddress(text);
    return address && families.has(isV4(address)) && !holders.has(text) && !owners.has(text);
  });
  return new Map(free.map((address) => [address, ports]));
}

/** Cluster address -> the service that has it. */
export type Holders = ReadonlyMap<string, ServiceManifest>;

export function clusterAddresses(world: World): Holders {
  const holders = new Map<string, ServiceManifest>();
  for (const service of world.services.values()) {
    for (const address of service.clusterIps) if (!holders.has(address)) holders.set(address, service);
  }
  holders.delete(HEADLESS);
  return holders;
}

/** Cluster addresses may be written by hand, and external ones always are, so that two services may be given the same. Agents serve one of them. */
export function* doubleFrontends({ world, owners }: DesiredInput, holders: Holders): Generator<Desired> {
  const first = new Map<string, ServiceManifest>();
  for (const service of world.services.values()) {
    if (service.unserved) continue;
    for (const address of service.clusterIps) {
      const holder = holders.get(address);
      if (holder !== undefined && holder !== service) yield double(service, address, `of ${namespacedName(holder)}`);
    }
    for (const address of service.externalIps ?? []) {
      const holder = holders.get(address);
      const pod = owners.get(address);
      if (holder !== undefined) yield double(service, address, `of ${namespacedName(holder)}, which keeps it`);
      else if (pod !== undefined) yield double(service, address, `of pod ${pod}, which keeps it`);
      else yield* doublePorts(service, address, first);
    }
  }
}

/** Services may share an external address, each with ports of its own. */
function* doublePorts(
  service: ServiceManifest,
  address: string,
  first: Map<string, ServiceManifest>,
): Generator<Desired> {
  for (const { protocol, port } of service.ports) {
    const key = `${address} port ${port}/${protocol}`;
    const holder = first.get(key) ?? service;
    first.set(key, holder);
    if (holder === service) continue;
    const [wins] = [namespacedName(holder), namespacedName(service)].sort();
    yield double(service, key, `of ${namespacedName(holder)}; ${wins} has it`);
  }
}

function double(service: ServiceManifest, what: string, whose: string): Desired {
  const line = `${service.source}: Service ${namespacedName(service)}: ${what} is also the address ${whose}`;
  return { problem: `${line}; give each service its own`, conflict: "frontend" };
}
