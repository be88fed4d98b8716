/**
 * Which backends a frontend uses: Cilium's merge (backends of every cluster by port name, one per address, port and protocol, the own cluster's
 * first, then the lowest cluster id's) and its affinity. Health is not known yet: every backend counts as healthy.
 */

import type { Cluster } from "../model/cluster.ts";
import type { AddressPorts, ClusterService, LocalService, ServicePort } from "../model/resource.ts";
import { type Candidate, type Endpoint, endpointText } from "./backend.ts";

function* endpoints(ports: AddressPorts): Generator<Endpoint & ServicePort> {
  for (const [address, list] of ports) for (const port of list) yield { ...port, address };
}

function candidatesOf(backends: AddressPorts, cluster: Cluster, own: boolean): Candidate[] {
  return [...endpoints(backends)].map(({ address, port, protocol, name }) => {
    return { address, port, protocol, portName: name, cluster: cluster.name, clusterId: cluster.id, own };
  });
}

/** Every backend that any cluster offers, in order of precedence. */
export function candidates(own: Cluster, local: LocalService, remotes: readonly ClusterService[]): Candidate[] {
  const found = candidatesOf(local.backends, own, true);
  for (const remote of remotes) {
    const cluster = { name: remote.cluster, id: remote.clusterId };
    if (remote.shared) found.push(...candidatesOf(remote.backends, cluster, false));
  }
  return found;
}

/** A frontend with the name its backends must match; "" matches any, as in Cilium. */
export type NamedFrontend = Endpoint & { readonly name: string };

export function frontends(service: LocalService): NamedFrontend[] {
  return [...endpoints(service.frontends)];
}

const isV6 = (endpoint: Endpoint): boolean => endpoint.address.includes(":");

function misfit(frontend: NamedFrontend, candidate: Candidate): string | undefined {
  if (frontend.name !== "" && candidate.portName !== undefined && candidate.portName !== frontend.name) {
    return candidate.portName === ""
      ? "no frontend with an unnamed port"
      : `no frontend port named ${candidate.portName}`;
  }
  if (candidate.protocol !== frontend.protocol) return `no ${candidate.protocol} frontend of that port name`;
  return isV6(candidate) === isV6(frontend) ? undefined : `no IPv${isV6(candidate) ? 6 : 4} frontend`;
}

function disfavoured(service: LocalService, own: boolean, rivals: boolean): string | undefined {
  if (!own && !service.global) return "not global";
  if (!service.global || !rivals) return undefined;
  if (own) return service.affinity === "remote" ? "affinity remote: remote backends exist" : undefined;
  return service.affinity === "local" ? "affinity local: local backends exist" : undefined;
}

export interface Selection {
  readonly used: readonly Candidate[];
  /** By index of the candidate: why it is not used; undefined when it is. */
  readonly refusals: readonly (string | undefined)[];
}

/** @param offered in order of precedence. */
export function select(service: LocalService, frontend: NamedFrontend, offered: readonly Candidate[]): Selection {
  const chosen = new Map<string, Candidate>();
  const refusals = offered.map((candidate) => {
    const reason = misfit(frontend, candidate);
    if (reason !== undefined) return reason;
    const endpoint = endpointText(candidate);
    const winner = chosen.get(endpoint);
    if (winner === undefined) chosen.set(endpoint, candidate);
    return winner === undefined || winner.cluster === candidate.cluster ? undefined : `claimed by ${winner.cluster}`;
  });
  const fitting = [...chosen.values()];
  const has = (own: boolean): boolean => fitting.some((candidate) => candidate.own === own);
  const rivals = { own: has(false), remote: has(true) };
  const verdict = (candidate: Candidate): string | undefined =>
    disfavoured(service, candidate.own, candidate.own ? rivals.own : rivals.remote);
  return {
    used: fitting.filter((candidate) => verdict(candidate) === undefined),
    refusals: refusals.map((reason, index) => reason ?? verdict(offered[index] as Candidate)),
  };
}
