/** Ports as the policy map knows them: prefixes, each written as one number so that equal ones are equal. */
import { POLICY_PREFIX } from "../maps/policy-map.ts";
import type { PortRule } from "../model/policy.ts";
import type { Protocol } from "../model/resource.ts";

/** A key of a policy map without its identity: prefix length, protocol, port. */
export type Span = number;

export const PROTOCOL_NUMBERS = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const;

export type NamedPortRule = Extract<PortRule, { readonly name: string }>;

const PORT_BITS = 16;
const LAST_PORT = 65_535;

export function spanOf(prefixLength: number, protocol: number, port: number): Span {
  return prefixLength * 2 ** 24 + protocol * 2 ** 16 + port;
}

export function readSpan(span: Span): {
  readonly prefixLength: number;
  readonly protocol: number;
  readonly port: number;
} {
  return { prefixLength: span >>> 24, protocol: (span >>> 16) & 0xff, port: span & 0xffff };
}

/** Every protocol and port. */
export const EVERYTHING: Span = spanOf(POLICY_PREFIX.identity, 0, 0);

export function exactSpan(protocol: keyof typeof PROTOCOL_NUMBERS, port: number): Span {
  return spanOf(POLICY_PREFIX.exact, PROTOCOL_NUMBERS[protocol], port);
}

/** At most 30 for a range of ports. */
export function spansOf(rule: Exclude<PortRule, NamedPortRule>): readonly Span[] {
  if ("type" in rule) return [exactSpan(rule.protocol, rule.type)];
  return rangeSpans(rule.protocol, rule.first, rule.last);
}

function rangeSpans(protocol: Protocol, first: number, last: number): readonly Span[] {
  const number = PROTOCOL_NUMBERS[protocol];
  if (first === 0 && last === LAST_PORT) return [spanOf(POLICY_PREFIX.protocol, number, 0)];
  const spans: Span[] = [];
  for (let port = first; port <= last; ) {
    let free = 0;
    while (port % 2 ** (free + 1) === 0 && port + 2 ** (free + 1) - 1 <= last) free++;
    spans.push(spanOf(POLICY_PREFIX.port + PORT_BITS - free, number, port));
    port += 2 ** free;
  }
  return spans;
}

/** The span with these values and all that contain it, narrowest first. */
export function* enclosing(prefixLength: number, protocol: number, port: number): Generator<Span> {
  for (let prefix = prefixLength; prefix >= POLICY_PREFIX.port; prefix--) {
    const free = POLICY_PREFIX.exact - prefix;
    yield spanOf(prefix, protocol, (port >>> free) << free);
  }
  if (prefixLength >= POLICY_PREFIX.protocol) yield spanOf(POLICY_PREFIX.protocol, protocol, 0);
  yield EVERYTHING;
}
