/**
 * Annotations of ours on a service: how the cluster that declares it divides its clients' connections among clusters. Cilium ignores them. One
 * that makes no sense is a problem and does not count, as if it were not there.
 */
import { clusterNameFault } from "../model/cluster.ts";
import { FULL_WEIGHT } from "../model/drain.ts";
import type { Affinity, Routing } from "../model/resource.ts";
import type { TextMap } from "./manifest.ts";
import { quote } from "./refusal.ts";

/** Every annotation of ours on a service starts so. */
export const SERVICE_ANNOTATIONS = "service.bulkhead.io/";
const PREFER = `${SERVICE_ANNOTATIONS}prefer`;
const WEIGHTS = `${SERVICE_ANNOTATIONS}weights`;
const SPILL_BELOW = `${SERVICE_ANNOTATIONS}spill-below`;
const KNOWN: readonly string[] = [PREFER, WEIGHTS, SPILL_BELOW];

/** Stands for the cluster that declares the service. */
const LOCAL = "local";
export const MAX_NAMED_CLUSTERS = 64;
const ALL = 100;

export type RoutingWish = Omit<Routing, "unready">;

export interface ServiceRouting {
  /** Undefined when no annotation counts: by affinity alone. */
  readonly routing: RoutingWish | undefined;
  /** What counts instead, and how to mend it. */
  readonly problems: readonly string[];
}

/** @param own name of the cluster that declares the service. */
export function serviceRouting(
  annotations: TextMap,
  own: string,
  { global, affinity }: { readonly global: boolean; readonly affinity: Affinity },
): ServiceRouting {
  const given = [...annotations.keys()].filter((key) => key.startsWith(SERVICE_ANNOTATIONS));
  const problems = given
    .filter((key) => !KNOWN.includes(key))
    .map((key) => `annotation ${quote(key)} is not known; use ${KNOWN.join(", ")}`);
  if (given.length > 0 && !global) {
    problems.push(
      `annotations ${SERVICE_ANNOTATIONS} count only with service.cilium.io/global: "true"; write that too`,
    );
    return { routing: undefined, problems };
  }
  const read = <T>(name: string, parse: (text: string) => T | string, without: T): T => {
    const text = annotations.get(name);
    const found = text === undefined ? without : parse(text);
    if (typeof found !== "string") return found;
    problems.push(`annotation ${name} is ${quote(text ?? "")} and does not count: ${found}`);
    return without;
  };
  const prefer = read(PREFER, (text) => readClusters(text, own), []);
  const weights = read(WEIGHTS, (text) => readWeights(text, own), new Map<string, number>());
  const spillBelow = read(SPILL_BELOW, readPercentage, 0);
  const localFirst = prefer.length > 0 ? prefer.includes(own) : affinity === "local";
  if (spillBelow > 0 && !localFirst) {
    problems.push(`annotation ${SPILL_BELOW} changes nothing: no local backends are preferred; add ${PREFER}: "local"`);
  }
  const counts = prefer.length > 0 || weights.size > 0 || (spillBelow > 0 && localFirst);
  return { routing: counts ? { prefer, weights, spillBelow: localFirst ? spillBelow : 0 } : undefined, problems };
}

const itemsOf = (text: string): readonly string[] => text.split(",").map((item) => item.trim());

/** The name, with `local` resolved; else why it is none. */
function readCluster(text: string, own: string): { readonly name: string } | string {
  if (text === LOCAL) return { name: own };
  const fault = clusterNameFault(text);
  return fault === undefined ? { name: text } : `cluster name ${quote(text)} ${fault}`;
}

function readClusters(text: string, own: string): readonly string[] | string {
  const names: string[] = [];
  for (const item of itemsOf(text)) {
    const cluster = readCluster(item, own);
    if (typeof cluster === "string") return `${cluster}; write names of clusters or local, separated by commas`;
    if (names.includes(cluster.name)) return `${cluster.name} is named twice; name each cluster once`;
    names.push(cluster.name);
  }
  return names.length > MAX_NAMED_CLUSTERS ? `it names more than ${MAX_NAMED_CLUSTERS} clusters; name fewer` : names;
}

function readWeights(text: string, own: string): ReadonlyMap<string, number> | string {
  const weights = new Map<string, number>();
  for (const item of itemsOf(text)) {
    const [name = "", number = "", ...more] = item.split("=");
    const weight = readWhole(number.trim(), FULL_WEIGHT);
    if (weight === undefined || more.length > 0) {
      return `${quote(item)} is no weight; write CLUSTER=0 to ${FULL_WEIGHT}, separated by commas`;
    }
    const cluster = readCluster(name.trim(), own);
    if (typeof cluster === "string") return `${cluster}; write CLUSTER=WEIGHT, or local=WEIGHT`;
    if (weights.has(cluster.name)) return `${cluster.name} is named twice; name each cluster once`;
    weights.set(cluster.name, weight);
  }
  return weights.size > MAX_NAMED_CLUSTERS ? `it names more than ${MAX_NAMED_CLUSTERS} clusters; name fewer` : weights;
}

function readPercentage(text: string): number | string {
  const percentage = readWhole(text.trim().replace(/\s*%$/, ""), ALL);
  return percentage === undefined || percentage === 0 ? `write a percentage from 1 to ${ALL}` : percentage;
}

/** A whole number from 0 to `most`; undefined when it is none. */
function readWhole(text: string, most: number): number | undefined {
  return /^\d{1,3}$/.test(text) && Number(text) <= most ? Number(text) : undefined;
}
