/** Numbers of identities that mean the same everywhere, and those that mean something on one node only. Source: Cilium's numeric identities. */

export const RESERVED_IDENTITIES = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  "remote-node": 6,
  "kube-apiserver": 7,
  ingress: 8,
  "world-ipv4": 9,
  "world-ipv6": 10,
} as const;

export type ReservedIdentity = keyof typeof RESERVED_IDENTITIES;

/** First identity of the node-local scope: CIDRs that policies name. Never leaves the node. */
export const FIRST_CIDR_IDENTITY = 2 ** 24;
export const LAST_CIDR_IDENTITY = 2 ** 24 + 2 ** 16 - 1;

export function isCidrIdentity(identity: number): boolean {
  return identity >= FIRST_CIDR_IDENTITY && identity <= LAST_CIDR_IDENTITY;
}

export function reservedName(identity: number): ReservedIdentity | undefined {
  const found = Object.entries(RESERVED_IDENTITIES).find(([, number]) => number === identity);
  return found?.[0] as ReservedIdentity | undefined;
}
