/**
 * Policies of the own cluster for its agents: `bulkhead/v1/policies/<kind>/[<namespace>/]<name>`, our own format:
 * `{"source","document"}`, the document as the operator wrote it, without metadata that has no meaning here.
 */
import { type Policy, policyName } from "../model/policy.ts";
import type { Judged } from "../model/resource.ts";
import { Fields, Shape } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { POLICIES_PREFIX } from "./keys.ts";
import type { PolicyManifest } from "./manifest.ts";
import { parsePolicy } from "./parse-policy.ts";
import { judging, limitBytes, oneLine, quote, Refusal } from "./refusal.ts";

const MAX_POLICY_BYTES = 512 * 1024;
const SHAPE = new Shape(["source", "document"]);

function decode(suffix: string, value: Uint8Array): Policy {
  limitBytes(value, MAX_POLICY_BYTES);
  const fields = new Fields(parseJson(value), [], SHAPE);
  const source = fields.text("source");
  if (!/^[ -~]*$/.test(source)) throw fields.refusal("source", "must be one printable line");
  const policy = parsePolicy(fields.fields("document"), source);
  const name = policyName(policy);
  if (name !== suffix) throw new Refusal("wrong-key", `the value is of ${name}, the key of ${quote(suffix)}`);
  return policy;
}

/** @param suffix the key below `POLICIES_PREFIX`: `policyName()`. */
export function judgePolicy(suffix: string, value: Uint8Array): Judged<Policy> {
  return judging(POLICIES_PREFIX + suffix, () => decode(suffix, value));
}

export function encodePolicy({ source, document }: Pick<PolicyManifest, "source" | "document">): Uint8Array {
  return encodeGoJson({ source: oneLine(source), document });
}
