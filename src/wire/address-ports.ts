/** Addresses with named ports: `{"10.140.9.3":{"http":{"Protocol":"TCP","Port":80}}}`. */
import assert from "node:assert/strict";
import type { AddressPorts, Protocol, ServicePort } from "../model/resource.ts";
import { readAddress } from "./addresses.ts";
import { Fields, Shape } from "./fields.ts";
import { compareBytes, type GoValue, sortedMap } from "./go-json.ts";
import { quote, Refusal } from "./refusal.ts";

export const MAX_PORT = 65_535;
const PROTOCOLS: ReadonlySet<string> = new Set(["TCP", "UDP", "SCTP"] satisfies readonly Protocol[]);
const PORT_SHAPE = new Shape(["Protocol", "Port"]);

export function isProtocol(text: string): text is Protocol {
  return PROTOCOLS.has(text);
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= MAX_PORT;
}

function readPort(ports: Fields, name: string): ServicePort {
  const path = [...ports.path, name];
  const tree = ports.tree(name);
  if (tree === null) throw new Refusal("bad-port", "the port is null", path);
  const fields = new Fields(tree, path, PORT_SHAPE);
  const protocol = fields.text("Protocol");
  if (!isProtocol(protocol)) throw new Refusal("bad-port", `protocol ${quote(protocol)} is not known`, path);
  const port = fields.whole("Port", MAX_PORT);
  if (!isPort(port)) throw new Refusal("bad-port", `port ${port} is not from 1 to ${MAX_PORT}`, path);
  return { name, protocol, port };
}

/** Ports come sorted by name. Two texts of one address are refused. */
export function readAddressPorts(parent: Fields, name: string): AddressPorts {
  const addresses = parent.fields(name);
  const read = new Map<string, readonly ServicePort[]>();
  for (const text of addresses.names()) {
    const address = readAddress(text, addresses.path);
    if (read.has(address)) throw new Refusal("duplicate-name", `${address} occurs twice`, addresses.path);
    const ports = addresses.fields(text);
    read.set(
      address,
      [...ports.names()].sort(compareBytes).map((port) => readPort(ports, port)),
    );
  }
  return read;
}

function writePorts(ports: readonly ServicePort[]): GoValue {
  const byName = new Map(ports.map(({ name, protocol, port }) => [name, { Protocol: protocol, Port: port }]));
  assert.equal(byName.size, ports.length, "ports of one address have distinct names");
  return sortedMap(byName);
}

export function writeAddressPorts(addresses: AddressPorts): GoValue {
  return sortedMap(new Map([...addresses].map(([address, ports]) => [address, writePorts(ports)])));
}
