/** `cilium/cluster-config/<cluster>`: a cluster's id and what its writer can do. */
import { isClusterId, MAX_CLUSTER_ID } from "../model/cluster.ts";
import type { ClusterConfig, Judged } from "../model/resource.ts";
import { Fields, MAX_UINT32, Shape } from "./fields.ts";
import { encodeGoJson, type GoValue } from "./go-json.ts";
import { parseJson, type Tree } from "./json.ts";
import { judging, limitBytes, quote, Refusal } from "./refusal.ts";

export const MAX_CONFIG_BYTES = 16 * 1024;
const SHAPE = new Shape(["id", "capabilities"]);
/** In the order in which Cilium writes them. */
const CAPABILITIES = [
  "syncedCanaries",
  "cached",
  "maxConnectedClusters",
  "serviceExportsEnabled",
  "endpointSlicesExportMode",
] as const;
const CAPABILITIES_SHAPE = new Shape(CAPABILITIES);
const EXPORT_MODES: ReadonlySet<string> = new Set(["", "services-and-endpointslices", "endpointslices-only"]);

function decode(tree: Tree): ClusterConfig {
  const fields = new Fields(tree, [], SHAPE);
  const can = fields.fields("capabilities", CAPABILITIES_SHAPE);
  const id = fields.whole("id", MAX_UINT32);
  if (!isClusterId(id)) throw new Refusal("unsupported", `cluster id ${id} is not from 1 to ${MAX_CLUSTER_ID}`, ["id"]);
  const maxConnectedClusters = can.whole("maxConnectedClusters", MAX_UINT32);
  if (maxConnectedClusters !== 0 && maxConnectedClusters !== MAX_CLUSTER_ID) {
    const fault = `${maxConnectedClusters} gives other identity ranges; every cluster must say ${MAX_CLUSTER_ID}`;
    throw new Refusal("unsupported", fault, [...can.path, "maxConnectedClusters"]);
  }
  const endpointSlicesExportMode = can.text("endpointSlicesExportMode");
  if (!EXPORT_MODES.has(endpointSlicesExportMode)) {
    const fault = `${quote(endpointSlicesExportMode)} is not known`;
    throw new Refusal("unsupported", fault, [...can.path, "endpointSlicesExportMode"]);
  }
  return {
    id,
    syncedCanaries: can.flag("syncedCanaries"),
    cached: can.flag("cached"),
    maxConnectedClusters,
    ...(can.has("serviceExportsEnabled") ? { serviceExportsEnabled: can.flag("serviceExportsEnabled") } : {}),
    endpointSlicesExportMode,
  };
}

/** @param key names the value in a rejection. `maxConnectedClusters` is 0 when the writer does not say it. */
export function judgeClusterConfig(key: string, bytes: Uint8Array): Judged<ClusterConfig> {
  return judging(key, () => {
    limitBytes(bytes, MAX_CONFIG_BYTES);
    return decode(parseJson(bytes));
  });
}

export function encodeClusterConfig(config: ClusterConfig): Uint8Array {
  return encodeGoJson({
    id: config.id,
    capabilities: {
      syncedCanaries: config.syncedCanaries || undefined,
      cached: config.cached || undefined,
      maxConnectedClusters: config.maxConnectedClusters || undefined,
      serviceExportsEnabled: config.serviceExportsEnabled,
      endpointSlicesExportMode: config.endpointSlicesExportMode || undefined,
    },
  });
}

function members(tree: Tree): ReadonlyMap<string, Tree> {
  return tree instanceof Map ? tree : new Map();
}

/** Known capabilities in Cilium's order, then the unknown ones in theirs. */
function adaptCapabilities(tree: Tree): GoValue {
  const given = members(tree);
  const adapted = new Map<string, GoValue>();
  for (const name of CAPABILITIES) {
    const value = name === "syncedCanaries" || name === "cached" ? true : given.get(name);
    if (value !== undefined) adapted.set(name, value);
  }
  for (const [name, value] of given) if (!CAPABILITIES_SHAPE.has(name)) adapted.set(name, value);
  return adapted;
}

/**
 * The config as a mirror says it again: `syncedCanaries` and `cached` are true, because the mirror writes canaries and what it
 * holds lies below `cilium/cache/`. Everything else is kept, unknown fields included. Refuses what `judgeClusterConfig` refuses.
 */
export function adaptClusterConfig(bytes: Uint8Array, key = "cluster-config"): Judged<Uint8Array> {
  return judging(key, () => {
    limitBytes(bytes, MAX_CONFIG_BYTES);
    const tree = parseJson(bytes);
    decode(tree);
    const given = members(tree);
    const adapted = new Map<string, GoValue>([["id", given.get("id") ?? null]]);
    adapted.set("capabilities", adaptCapabilities(given.get("capabilities") ?? null));
    for (const [name, value] of given) if (!SHAPE.has(name)) adapted.set(name, value);
    return encodeGoJson(adapted);
  });
}
