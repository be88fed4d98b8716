/** Ports of one name that differ at one address. Which of them counts does not depend on the order in which they were heard of. Pure. */
import type { NamedPort } from "../model/resource.ts";
import type { PodManifest, ServiceManifest, SliceManifest } from "../wire/manifest.ts";
import { quote } from "../wire/refusal.ts";
import type { Desired } from "./parts.ts";
import { namespacedName } from "./world.ts";

interface Numbered {
  readonly protocol: string;
  readonly port: number;
}

const text = ({ port, protocol }: Numbered): string => `${port}/${protocol}`;

function clash(where: string, what: string, counts: Numbered, other: Numbered): Desired {
  const line = `${what} is ${text(counts)} and ${text(other)}; the first counts, give each a name of its own`;
  return { problem: `${where}: ${line}`, conflict: "port-name" };
}

/** The named ports of a pod, of each name the first. */
export function namedPortsOf(pod: PodManifest): readonly NamedPort[] {
  const first = new Map<string, NamedPort>();
  for (const { name, containerPort: port, protocol } of namedOf(pod)) {
    if (!first.has(name)) first.set(name, { name, port, protocol });
  }
  return [...first.values()];
}

function namedOf({ containers }: PodManifest): PodManifest["containers"][number]["ports"] {
  return containers.flatMap(({ ports }) => ports).filter(({ name }) => name !== "");
}

export function* podClashes(pod: PodManifest, where: string): Generator<Desired> {
  const counts = new Map(namedPortsOf(pod).map((port) => [port.name, port]));
  for (const { name, protocol, containerPort: port } of namedOf(pod)) {
    const first = counts.get(name);
    if (first === undefined || text(first) === text({ protocol, port })) continue;
    yield clash(where, `port ${quote(name)}`, first, { protocol, port });
  }
}

/** Of a service's slices, by name: at one address that several of them have. */
export function* sliceClashes(service: ServiceManifest, slices: readonly SliceManifest[]): Generator<Desired> {
  if (!mayClash(slices)) return;
  const first = new Map<string, Numbered>();
  for (const { endpoints, ports, source } of slices) {
    for (const address of endpoints.flatMap((endpoint) => endpoint.addresses)) {
      for (const port of ports) {
        const key = `${address} port ${quote(port.name)}`;
        const counts = first.get(key) ?? port;
        first.set(key, counts);
        const where = `${source}: Service ${namespacedName(service)}`;
        if (text(counts) !== text(port)) yield clash(where, key, counts, port);
      }
    }
  }
}

/** Whether a name has two numbers: that is in order where they are of different pods. */
function mayClash(slices: readonly SliceManifest[]): boolean {
  const named = slices.flatMap(({ ports }) => ports);
  const numbers = new Map(named.map((port) => [port.name, text(port)]));
  return named.some((port) => numbers.get(port.name) !== text(port));
}
