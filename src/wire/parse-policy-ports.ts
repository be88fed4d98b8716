/** Ports and ICMP types of policies. */
import type { PortRule } from "../model/policy.ts";
import { MAX_PORT } from "./address-ports.ts";
import type { Fields } from "./fields.ts";
import { ICMP_TYPES, ICMPV6_TYPES } from "./icmp-types.ts";
import { readProtocol } from "./parse-metadata.ts";
import { type FieldSet, strictObjects } from "./policy-fields.ts";
import { quote } from "./refusal.ts";

const PORT: FieldSet = { known: ["port", "endPort", "protocol"] };
const WHOLE_PORT = "only L3 and L4 are; remove it to admit the whole port";
const TO_PORTS: FieldSet = {
  known: ["ports"],
  unenforced: new Map(
    ["rules", "terminatingTLS", "originatingTLS", "serverNames", "listener"].map((name) => [name, WHOLE_PORT]),
  ),
};
const ICMPS: FieldSet = { known: ["fields"] };
const ICMP_FIELD: FieldSet = { known: ["family", "type"] };
const ALL_PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const MAX_ICMP_TYPE = 255;
const LONGEST_PORT_NAME = 15;

type Protocols = readonly (typeof ALL_PROTOCOLS)[number][];

/** As Kubernetes names container ports: lower case, at least one letter, no '-' at the ends or twice in a row. */
function isPortName(text: string): boolean {
  if (text.length > LONGEST_PORT_NAME || !/^[a-z0-9-]+$/.test(text) || !/[a-z]/.test(text)) return false;
  return !text.startsWith("-") && !text.endsWith("-") && !text.includes("--");
}

/** The last port of a range that starts at `first`. */
function readLastPort(fields: Fields, first: number): number {
  if (!fields.has("endPort")) return first;
  const last = fields.whole("endPort", MAX_PORT);
  if (last < first) throw fields.refusal("endPort", `${last} is below port ${first}; swap them`);
  return last;
}

function refuseLastPort(fields: Fields, why: string): void {
  if (fields.has("endPort")) throw fields.refusal("endPort", `${why}; write a port number from 1, or remove endPort`);
}

function named(fields: Fields, name: string, protocols: Protocols): readonly PortRule[] {
  if (!isPortName(name)) {
    const numbers = `a number from 1 to ${MAX_PORT}`;
    throw fields.refusal("port", `${quote(name)} is no port; use ${numbers}, or a container port's name`);
  }
  refuseLastPort(fields, `has no meaning after the port name ${quote(name)}`);
  return protocols.map((protocol) => ({ protocol, name }));
}

function ranged(first: number, last: number, protocols: Protocols): readonly PortRule[] {
  return protocols.map((protocol) => ({ protocol, first, last }));
}

/** `ports` of a NetworkPolicy's rule; undefined for every protocol and port. */
export function readKubernetesPorts(rule: Fields): readonly PortRule[] | undefined {
  const rules = strictObjects(rule, "ports", PORT).flatMap(readKubernetesPort);
  return rules.length === 0 ? undefined : rules;
}

function readKubernetesPort(fields: Fields): readonly PortRule[] {
  const protocols = [readProtocol(fields)];
  const port = fields.tree("port");
  if (port === null) {
    refuseLastPort(fields, "has no meaning without port");
    return ranged(0, MAX_PORT, protocols);
  }
  if (typeof port === "string") return named(fields, port, protocols);
  const first = fields.whole("port", MAX_PORT);
  if (first === 0) throw fields.refusal("port", `must be from 1 to ${MAX_PORT}; leave it out for every port`);
  return ranged(first, readLastPort(fields, first), protocols);
}

/** `toPorts` and `icmps` of a Cilium policy's rule; undefined for every protocol and port. */
export function readCiliumPorts(rule: Fields): readonly PortRule[] | undefined {
  if (rule.has("toPorts") && rule.has("icmps")) {
    throw rule.refusal("icmps", "cannot stand beside toPorts; make two rules of it");
  }
  for (const name of ["toPorts", "icmps"]) {
    if (rule.has(name) && rule.list(name).length === 0) {
      throw rule.refusal(name, "is an empty list; name what is meant, or leave it out for every port");
    }
  }
  if (rule.has("icmps")) return strictObjects(rule, "icmps", ICMPS).flatMap(readIcmps);
  const sets = strictObjects(rule, "toPorts", TO_PORTS).map((set) => strictObjects(set, "ports", PORT));
  const isEveryPort = sets.length === 0 || sets.some((set) => set.length === 0);
  const rules = sets.flat().flatMap(readCiliumPort);
  return isEveryPort ? undefined : rules;
}

function readCiliumPort(fields: Fields): readonly PortRule[] {
  const protocols = readCiliumProtocols(fields);
  const port = fields.text("port");
  if (!/^(0|[1-9][0-9]{0,4})$/.test(port)) return named(fields, port, protocols);
  const first = Number(port);
  if (first > MAX_PORT) throw fields.refusal("port", `${first} is above ${MAX_PORT}; use a number from 0`);
  if (first > 0) return ranged(first, readLastPort(fields, first), protocols);
  refuseLastPort(fields, "has no meaning after port 0, which is every port");
  return ranged(0, MAX_PORT, protocols);
}

function readCiliumProtocols(fields: Fields): Protocols {
  const protocol = fields.text("protocol") || "ANY";
  if (protocol === "ANY") return ALL_PROTOCOLS;
  const found = ALL_PROTOCOLS.find((known) => known === protocol);
  if (!found) throw fields.refusal("protocol", `${quote(protocol)} must be TCP, UDP, SCTP or ANY; for ICMP use icmps`);
  return [found];
}

function readIcmps(icmps: Fields): readonly PortRule[] {
  const rules = strictObjects(icmps, "fields", ICMP_FIELD).map(readIcmpType);
  if (rules.length === 0) throw icmps.refusal("fields", "names no type; add one, such as type: EchoRequest");
  return rules;
}

function readIcmpType(fields: Fields): PortRule {
  const family = fields.text("family") || "IPv4";
  if (family !== "IPv4" && family !== "IPv6") {
    throw fields.refusal("family", `${quote(family)} must be IPv4 or IPv6`);
  }
  const protocol = family === "IPv4" ? "ICMP" : "ICMPv6";
  if (!fields.has("type")) throw fields.refusal("type", "is missing; add one, such as EchoRequest");
  const type = fields.tree("type");
  if (typeof type !== "string") return { protocol, type: fields.whole("type", MAX_ICMP_TYPE) };
  const known = (family === "IPv4" ? ICMP_TYPES : ICMPV6_TYPES).get(type);
  const number = known ?? (/^(0|[1-9][0-9]{0,2})$/.test(type) ? Number(type) : MAX_ICMP_TYPE + 1);
  if (number > MAX_ICMP_TYPE) {
    throw fields.refusal("type", `${quote(type)} is no type of ${family}; use a number from 0 to ${MAX_ICMP_TYPE}`);
  }
  return { protocol, type: number };
}
