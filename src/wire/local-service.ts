/**
 * Services of the own cluster as its agents need them: `bulkhead/v1/services/<namespace>/<name>`, our own format:
 * `{"namespace","name","frontends","external","backends","global","shared","affinity","sessionAffinitySeconds","algorithm","ending","routing"}`, addresses and ports as in
 * Cilium's services; `external` and the last four where they say something.
 */
import { FULL_WEIGHT } from "../model/drain.ts";
import type { Affinity, Judged, LoadBalancing, LocalService, Routing } from "../model/resource.ts";
import { readAddressPorts, writeAddressPorts } from "./address-ports.ts";
import { Fields, MAX_INT32, Shape } from "./fields.ts";
import { encodeGoJson, type GoValue, sortedMap } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { LOCAL_SERVICES_PREFIX } from "./keys.ts";
import { MAX_SESSION_AFFINITY_SECONDS } from "./parse-service.ts";
import { judging, limitBytes, quote, Refusal } from "./refusal.ts";
import { readServiceName } from "./service.ts";
import { MAX_NAMED_CLUSTERS } from "./service-routing.ts";

const MAX_LOCAL_SERVICE_BYTES = 1024 * 1024;
const SHAPE = new Shape([
  "namespace",
  "name",
  "frontends",
  "external",
  "backends",
  "global",
  "shared",
  "affinity",
  "sessionAffinitySeconds",
  "algorithm",
  "ending",
  "routing",
]);
const ROUTING_SHAPE = new Shape(["prefer", "weights", "spillBelow", "unready"]);
const AFFINITIES: ReadonlySet<string> = new Set(["none", "local", "remote"] satisfies readonly Affinity[]);

function readAlgorithm(fields: Fields): LoadBalancing {
  const text = fields.text("algorithm");
  if (text === "random" || text === "maglev") return text;
  throw new Refusal("malformed", `${quote(text)} is no algorithm`, ["algorithm"]);
}

function isAffinity(text: string): text is Affinity {
  return AFFINITIES.has(text);
}

function decode(suffix: string, value: Uint8Array): LocalService {
  limitBytes(value, MAX_LOCAL_SERVICE_BYTES);
  const fields = new Fields(parseJson(value), [], SHAPE);
  const affinity = fields.text("affinity");
  if (!isAffinity(affinity)) throw new Refusal("malformed", `${quote(affinity)} is no affinity`, ["affinity"]);
  const sessionAffinitySeconds = fields.whole("sessionAffinitySeconds", MAX_SESSION_AFFINITY_SECONDS);
  return {
    ...readServiceName(fields, suffix),
    frontends: readAddressPorts(fields, "frontends"),
    ...(fields.has("external") && { external: readAddressPorts(fields, "external") }),
    backends: readAddressPorts(fields, "backends"),
    global: fields.flag("global"),
    shared: fields.flag("shared"),
    affinity,
    ...(sessionAffinitySeconds > 0 ? { sessionAffinitySeconds } : {}),
    ...(fields.has("algorithm") ? { algorithm: readAlgorithm(fields) } : {}),
    ...(fields.flag("ending") ? { ending: true } : {}),
    ...(fields.has("routing") ? { routing: readRouting(fields.fields("routing", ROUTING_SHAPE)) } : {}),
  };
}

function readRouting(fields: Fields): Routing {
  const weights = fields.fields("weights");
  const prefer = fields.texts("prefer");
  for (const names of [prefer, [...weights.names()]]) {
    if (names.length <= MAX_NAMED_CLUSTERS) continue;
    throw new Refusal("too-large", `names ${names.length} clusters; the limit is ${MAX_NAMED_CLUSTERS}`, fields.path);
  }
  return {
    prefer,
    weights: new Map([...weights.names()].map((name) => [name, weights.whole(name, FULL_WEIGHT)])),
    spillBelow: fields.whole("spillBelow", 100),
    unready: fields.whole("unready", MAX_INT32),
  };
}

/** @param suffix the key below `LOCAL_SERVICES_PREFIX`: `<namespace>/<name>`. */
export function judgeLocalService(suffix: string, value: Uint8Array): Judged<LocalService> {
  return judging(LOCAL_SERVICES_PREFIX + suffix, () => decode(suffix, value));
}

export function encodeLocalService(service: LocalService): Uint8Array {
  return encodeGoJson({
    namespace: service.namespace,
    name: service.name,
    frontends: writeAddressPorts(service.frontends),
    external: service.external && writeAddressPorts(service.external),
    backends: writeAddressPorts(service.backends),
    global: service.global,
    shared: service.shared,
    affinity: service.affinity,
    sessionAffinitySeconds: service.sessionAffinitySeconds,
    algorithm: service.algorithm,
    ending: service.ending,
    routing: service.routing && writeRouting(service.routing),
  });
}

function writeRouting({ prefer, weights, spillBelow, unready }: Routing): GoValue {
  return { prefer, weights: sortedMap(weights), spillBelow, unready };
}
