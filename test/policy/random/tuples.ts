// Random packets, biased towards what policies speak of.
import { isV6, type Pod, type Tuple, type World } from "../reference/world.ts";
import type { Choose } from "./choose.ts";
import { OUTSIDE, PORTS, PROTOCOLS } from "./vocabulary.ts";
import { unknownAddresses } from "./world.ts";

const UNKNOWN = unknownAddresses();

function peerOf(choose: Choose, world: World): string {
  const kind = choose.weighted({ pod: 60, outside: 22, node: 8, reserved: 3, unknown: 7 });
  if (kind === "pod") return choose.one(choose.one(world.pods).addresses);
  if (kind === "outside") return choose.one(OUTSIDE);
  if (kind === "unknown") return choose.one(UNKNOWN);
  const node = choose.one(world.nodes);
  if (kind === "node") return choose.one(node.addresses);
  return choose.one([...(node.health ?? []), ...(node.ingress ?? [])]);
}

type Aim = Pick<Tuple, "protocol" | "port">;

/** A port that has a name at the end that is spoken to. */
function namedPort(choose: Choose, target: Pod | undefined): Aim | undefined {
  const ports = target?.namedPorts ?? [];
  return ports.length > 0 && choose.chance(35) ? (choose.one(ports) as Aim) : undefined;
}

function aim(choose: Choose, v6: boolean): Aim {
  const form = choose.weighted({ ports: 88, message: 10, other: 2 });
  if (form === "other") return { protocol: "GRE", port: 0 };
  if (form === "message")
    return v6 ? { protocol: "ICMPv6", port: 128 } : { protocol: "ICMP", port: choose.one([8, 13]) };
  const near = choose.one(PORTS) + choose.one([-1, 0, 0, 0, 1]);
  const port = choose.chance(8) ? choose.between(1, 65535) : Math.min(Math.max(near, 1), 65535);
  return { protocol: choose.one(PROTOCOLS), port };
}

export function randomTuple(choose: Choose, world: World): Tuple {
  const here = world.pods.filter(({ cluster, node }) => cluster === world.own && node === world.thisNode);
  const stranger = choose.chance(1);
  const pod = choose.one(here);
  const addresses = stranger ? (world.strangers[0] ?? []) : pod.addresses;
  let peer = peerOf(choose, world);
  while (addresses.includes(peer)) peer = peerOf(choose, world);
  const own = addresses.find((address) => isV6(address) === isV6(peer)) ?? "";
  const direction = choose.one(["ingress", "egress"] as const);
  const spoofed = direction === "egress" && choose.chance(1);
  const target = direction === "ingress" ? pod : world.pods.find(({ addresses: all }) => all.includes(peer));
  const { protocol, port } = namedPort(choose, target) ?? aim(choose, isV6(peer));
  return {
    direction,
    endpoint: stranger ? "stranger" : `${pod.namespace}/${pod.name}`,
    address: spoofed ? (isV6(peer) ? "fd00:1::99" : "10.1.0.99") : own,
    peer,
    protocol,
    port,
  };
}
