/** The peers of a rule in two terms only: what labels say, and CIDRs. Entities and the default cluster are resolved here. */
import assert from "node:assert/strict";
import { type Cidr, parseCidr } from "../model/address.ts";
import type { Entity, Peer, Requirement } from "../model/policy.ts";
import { asksReserved, inCluster, isReserved, selectorText } from "./selector.ts";

export interface LabelTerm {
  readonly kind: "labels";
  /** Equal terms have equal texts. */
  readonly text: string;
  readonly requirements: readonly Requirement[];
  /** Workloads whose ports may be meant by name: the term is a rule's selector, not an entity. */
  readonly endpoints: boolean;
}

/** Identities of CIDRs inside `cidr` and outside `except`. */
export interface CidrTerm {
  readonly kind: "cidr";
  readonly text: string;
  readonly cidr: Cidr;
  readonly except: readonly Cidr[];
}

export type Term = LabelTerm | CidrTerm;

/** Where the policy is read. */
export interface PeerScope {
  /** Name of the own cluster. */
  readonly cluster: string;
  /** Selectors that do not mention the cluster mean the own one. */
  readonly defaultLocalCluster: boolean;
}

const ALL_V4 = "0.0.0.0/0";
const ALL_V6 = "::/0";

/** Without `anybody` and terms: nobody. */
export interface Peers {
  readonly anybody: boolean;
  readonly terms: readonly Term[];
}

/** @param peers absent: anybody. */
export function peersOf(peers: readonly Peer[] | undefined, scope: PeerScope): Peers {
  const isAll = (peer: Peer): boolean => peer.kind === "entity" && peer.entity === "all";
  return {
    anybody: peers?.some(isAll) ?? true,
    terms: peers?.flatMap((peer) => termsOfPeer(peer, scope)) ?? [],
  };
}

function termsOfPeer(peer: Peer, scope: PeerScope): readonly Term[] {
  switch (peer.kind) {
    case "endpoints":
      return [labelTerm(scoped(peer, scope), true)];
    case "entity":
      return entityTerms(peer.entity, scope.cluster);
    case "cidr":
      return cidrTerms(peer.cidr, peer.except);
  }
}

function scoped(peer: Extract<Peer, { kind: "endpoints" }>, scope: PeerScope): readonly Requirement[] {
  const { requirements } = peer.selector;
  if (peer.mentionsCluster || !scope.defaultLocalCluster || asksReserved(requirements)) return requirements;
  return [...requirements, inCluster(scope.cluster)];
}

function labelTerm(requirements: readonly Requirement[], endpoints: boolean): LabelTerm {
  return { kind: "labels", text: selectorText(requirements), requirements, endpoints };
}

function reserved(...names: readonly string[]): readonly Term[] {
  return names.map((name) => labelTerm([isReserved(name)], false));
}

function entityTerms(entity: Entity, cluster: string): readonly Term[] {
  switch (entity) {
    case "all":
    case "none":
      return [];
    case "world":
      return [...reserved("world"), ...cidrTerms(ALL_V4, []), ...cidrTerms(ALL_V6, [])];
    case "world-ipv4":
      return [...reserved("world"), ...cidrTerms(ALL_V4, [])];
    case "world-ipv6":
      return [...reserved("world"), ...cidrTerms(ALL_V6, [])];
    case "cluster": {
      const others = reserved("host", "remote-node", "init", "ingress", "health", "unmanaged");
      return [...others, labelTerm([inCluster(cluster)], false)];
    }
    default:
      return reserved(entity);
  }
}

/** All addresses of a family include those that no policy names: the world's. */
function cidrTerms(cidr: string, except: readonly string[]): readonly Term[] {
  const text = [cidr, ...[...new Set(except)].sort()].join(" ");
  const term: Term = { kind: "cidr", text, cidr: parsed(cidr), except: except.map(parsed) };
  if (cidr === ALL_V4) return [term, ...reserved("world-ipv4")];
  if (cidr === ALL_V6) return [term, ...reserved("world-ipv6")];
  return [term];
}

function parsed(text: string): Cidr {
  const cidr = parseCidr(text);
  assert(cidr !== undefined, `${text} is a canonical CIDR`);
  return cidr;
}
