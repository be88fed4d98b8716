/**
 * Which backends a frontend uses: Cilium's merge (backends of every cluster by port name, one per address, port and protocol, the own cluster's
 * first, then the lowest cluster id's), its affinity, ours beyond that, and what clusters are drained. Backends of a demoted cluster, and own ones that
 * are about to end, count only where there are no others, before preferences are asked: those are among what can be reached.
 */

import type { Cluster } from "../model/cluster.ts";
import type { AddressPorts, LocalService, OfferedService, ServicePort } from "../model/resource.ts";
import { type Candidate, type Endpoint, endpointText } from "./backend.ts";
import { type Part, parts, slots, type WeightOf } from "./weights.ts";

function* endpoints(ports: AddressPorts): Generator<Endpoint & ServicePort> {
  for (const [address, list] of ports) for (const port of list) yield { ...port, address };
}

function candidatesOf(backends: AddressPorts, cluster: Cluster, own: boolean): Candidate[] {
  return [...endpoints(backends)].map(({ address, port, protocol, name }) => {
    return { address, port, protocol, portName: name, cluster: cluster.name, clusterId: cluster.id, own };
  });
}

/** Every backend that any cluster offers, in order of precedence. */
export function candidates(own: Cluster, local: LocalService, remotes: readonly OfferedService[]): Candidate[] {
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
  return [...endpoints(service.frontends), ...endpoints(service.external ?? new Map())];
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

/** Clusters whose backends are used only where there are no others: cluster id to why, in a few words. Never the own one. */
export type Demotions = ReadonlyMap<number, string>;

export const NO_DEMOTIONS: Demotions = new Map();

/** Whether both demote the same: why is for people only. */
export function sameClusters(left: Demotions, right: Demotions): boolean {
  return left.size === right.size && [...left.keys()].every((id) => right.has(id));
}

/** Backends of a rank are used where there are none of a lower one. */
interface SetBack {
  readonly rank: number;
  readonly why: string;
}

const NOT_SET_BACK: SetBack = { rank: 0, why: "" };
const ENDING: SetBack = { rank: 1, why: "about to end" };

export interface Selection {
  /** One for each address, port and protocol: the used ones are among them. */
  readonly fitting: readonly Candidate[];
  readonly used: readonly Candidate[];
  /** How much of new connections each of them gets, next to the others. */
  readonly weightOf: WeightOf;
  /** Those of them that get new connections, each as often as its weight says. */
  readonly slots: readonly Candidate[];
  /** By index of the candidate: why it is not used; undefined when it is. */
  readonly refusals: readonly (string | undefined)[];
  /** By index of the candidate: why less is used of it than usual, or in spite of what; undefined when there is nothing to say. */
  readonly remarks: readonly (string | undefined)[];
}

/** Of each address, port and protocol the first that fits; and by index of the candidate, why another does not. */
export function fitting(
  frontend: NamedFrontend,
  offered: readonly Candidate[],
): { readonly fitting: readonly Candidate[]; readonly misfits: readonly (string | undefined)[] } {
  const chosen = new Map<string, Candidate>();
  const misfits = offered.map((candidate) => {
    const reason = misfit(frontend, candidate);
    if (reason !== undefined) return reason;
    const endpoint = endpointText(candidate);
    const winner = chosen.get(endpoint);
    if (winner === undefined) chosen.set(endpoint, candidate);
    return winner === undefined || winner.cluster === candidate.cluster ? undefined : `claimed by ${winner.cluster}`;
  });
  return { fitting: [...chosen.values()], misfits };
}

/** @param offered in order of precedence. */
export function select(
  service: LocalService,
  frontend: NamedFrontend,
  offered: readonly Candidate[],
  weightOf: WeightOf,
  demotions: Demotions = NO_DEMOTIONS,
): Selection {
  const { fitting: fit, misfits } = fitting(frontend, offered);
  const setBackOf = ({ own, clusterId }: Candidate): SetBack => {
    if (own) return service.ending ? ENDING : NOT_SET_BACK;
    return { rank: demotions.has(clusterId) ? 2 : 0, why: demotions.get(clusterId) ?? "" };
  };
  const usable = fit.filter(({ own }) => own || service.global);
  const best = Math.min(...usable.map((candidate) => setBackOf(candidate).rank));
  const partOfBest = parts(
    service,
    usable.filter((candidate) => setBackOf(candidate).rank === best),
    weightOf,
  );
  const partOf = (candidate: Candidate): Part => {
    const { rank, why } = setBackOf(candidate);
    return rank > best && (candidate.own || service.global) ? { weight: 0, why } : partOfBest(candidate);
  };
  const shareOf: WeightOf = (candidate) => partOf(candidate).weight;
  const used = fit.filter((candidate) => shareOf(candidate) > 0);
  const all = offered.map(partOf);
  return {
    fitting: fit,
    used,
    weightOf: shareOf,
    slots: slots(used, shareOf),
    refusals: misfits.map((reason, index) => reason ?? (all[index]?.weight === 0 ? all[index].why : undefined)),
    remarks: all.map(({ weight, why }) => (weight > 0 ? why : undefined)),
  };
}
