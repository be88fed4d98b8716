/** Which policy an endpoint's direction should have: equal keys compile to equal entries. */
import type { Direction, PortRule } from "../model/policy.ts";
import type { NamedPort } from "../model/resource.ts";
import type { Half, NumberedRule, Selecting } from "./policy-book.ts";
import type { NamedPortRule } from "./spans.ts";

export interface Wanted {
  readonly key: string;
  readonly direction: Direction;
  /** Without a default deny only what deny rules name is dropped. */
  readonly enforced: boolean;
  /** Denies first, then in one fixed order. */
  readonly rules: readonly NumberedRule[];
  /** The selected endpoint's own, for names in ingress rules; none for egress. */
  readonly ownPorts: readonly NamedPort[];
}

export interface WantedSide {
  /** undefined: nothing is enforced. */
  readonly policy: Wanted | undefined;
  /** All policies that deny by default only watch. */
  readonly audited: boolean;
}

export function wantedSide(
  direction: Direction,
  selecting: readonly Selecting[],
  namedPorts: readonly NamedPort[],
): WantedSide {
  const halves = selecting.map((spec) => spec[direction]).filter((half) => half !== undefined);
  const denying = halves.filter(({ defaultDeny }) => defaultDeny);
  const enforced = denying.length > 0;
  const rules = orderedRules(halves, enforced);
  if (!enforced && rules.length === 0) return { policy: undefined, audited: false };
  const ownPorts = direction === "ingress" ? used(rules, namedPorts) : [];
  const halfKeys = halves.map(({ key }) => key).sort();
  const key = JSON.stringify([direction, enforced, halfKeys, ownPorts.map(portText)]);
  const audited = enforced && denying.every(({ audit }) => audit);
  return { policy: { key, direction, enforced, rules, ownPorts }, audited };
}

/** Whether what it says of a peer depends on the names of that one's ports. */
export function usesPeersPorts({ direction, rules }: Pick<Wanted, "direction" | "rules">): boolean {
  return direction === "egress" && rules.some(({ rule }) => rule.ports?.some(isNamed));
}

export function isNamed(port: PortRule): port is NamedPortRule {
  return "name" in port;
}

function orderedRules(halves: readonly Half[], enforced: boolean): readonly NumberedRule[] {
  const rules = halves.flatMap((half) => half.rules).filter(({ rule }) => enforced || rule.verdict === "deny");
  const rank = ({ rule, text }: NumberedRule): string => `${rule.verdict === "deny" ? 0 : 1} ${text}`;
  return rules.sort((left, right) => (rank(left) < rank(right) ? -1 : 1));
}

/** Those of the endpoint's ports that a rule names, in one fixed order. */
function used(rules: readonly NumberedRule[], namedPorts: readonly NamedPort[]): readonly NamedPort[] {
  const named = rules.flatMap(({ rule }) => rule.ports?.filter(isNamed) ?? []);
  const found = named.flatMap((wanted) => portsNamed(wanted, namedPorts));
  const distinct = new Map(found.map((port) => [portText(port), port]));
  return [...distinct.keys()].sort().map((text) => distinct.get(text) as NamedPort);
}

/** Ports of this name and protocol. */
export function portsNamed(wanted: NamedPortRule, ports: readonly NamedPort[]): readonly NamedPort[] {
  return ports.filter(({ name, protocol }) => name === wanted.name && protocol === wanted.protocol);
}

function portText({ protocol, name, port }: NamedPort): string {
  return `${protocol} ${name} ${port}`;
}
