/**
 * Services of the own cluster as its agents need them: `bulkhead/v1/services/<namespace>/<name>`, our own format:
 * `{"namespace","name","frontends","external","backends","global","shared","affinity"}`, addresses and ports as in Cilium's services; `external` where it holds
 * any.
 */
import type { Affinity, Judged, LocalService } from "../model/resource.ts";
import { readAddressPorts, writeAddressPorts } from "./address-ports.ts";
import { Fields, Shape } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { LOCAL_SERVICES_PREFIX } from "./keys.ts";
import { judging, limitBytes, quote, Refusal } from "./refusal.ts";
import { readServiceName } from "./service.ts";

const MAX_LOCAL_SERVICE_BYTES = 1024 * 1024;
const SHAPE = new Shape(["namespace", "name", "frontends", "external", "backends", "global", "shared", "affinity"]);
const AFFINITIES: ReadonlySet<string> = new Set(["none", "local", "remote"] satisfies readonly Affinity[]);

function isAffinity(text: string): text is Affinity {
  return AFFINITIES.has(text);
}

function decode(suffix: string, value: Uint8Array): LocalService {
  limitBytes(value, MAX_LOCAL_SERVICE_BYTES);
  const fields = new Fields(parseJson(value), [], SHAPE);
  const affinity = fields.text("affinity");
  if (!isAffinity(affinity)) throw new Refusal("malformed", `${quote(affinity)} is no affinity`, ["affinity"]);
  return {
    ...readServiceName(fields, suffix),
    frontends: readAddressPorts(fields, "frontends"),
    ...(fields.has("external") && { external: readAddressPorts(fields, "external") }),
    backends: readAddressPorts(fields, "backends"),
    global: fields.flag("global"),
    shared: fields.flag("shared"),
    affinity,
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
  });
}
