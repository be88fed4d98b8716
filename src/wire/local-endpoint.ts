/** What agents need of a pod of the own cluster beyond its addresses: `bulkhead/v1/endpoints/<namespace>/<pod>`, our own format. */
import type { Judged } from "../model/resource.ts";
import { Fields, Shape } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { ENDPOINTS_PREFIX } from "./keys.ts";
import { isDnsLabel, isDnsSubdomain } from "./names.ts";
import { judging, limitBytes, quote, Refusal } from "./refusal.ts";

export interface LocalEndpoint {
  readonly namespace: string;
  /** Of the pod. */
  readonly name: string;
  /** What policy would drop by default, from it and to it, is let through and counted. */
  readonly audit: boolean;
}

const MAX_ENDPOINT_BYTES = 4 * 1024;
const SHAPE = new Shape(["namespace", "name", "audit"]);

function decode(suffix: string, value: Uint8Array): LocalEndpoint {
  limitBytes(value, MAX_ENDPOINT_BYTES);
  const fields = new Fields(parseJson(value), [], SHAPE);
  const namespace = fields.text("namespace");
  const name = fields.text("name");
  if (!isDnsLabel(namespace)) throw fields.refusal("namespace", `${quote(namespace)} is no name of a namespace`);
  if (!isDnsSubdomain(name)) throw fields.refusal("name", `${quote(name)} is no name of a pod`);
  if (`${namespace}/${name}` !== suffix) {
    throw new Refusal("wrong-key", `the value is of ${namespace}/${name}, the key of ${quote(suffix)}`);
  }
  return { namespace, name, audit: fields.flag("audit") };
}

/** @param suffix the key below `ENDPOINTS_PREFIX`: `<namespace>/<pod>`. */
export function judgeLocalEndpoint(suffix: string, value: Uint8Array): Judged<LocalEndpoint> {
  return judging(ENDPOINTS_PREFIX + suffix, () => decode(suffix, value));
}

export function encodeLocalEndpoint({ namespace, name, audit }: LocalEndpoint): Uint8Array {
  return encodeGoJson({ namespace, name, audit });
}
