/** Policies of a file, judged as the exporter will judge them, before they are applied. */
import { type Policy, policyName } from "../model/policy.ts";
import type { PolicyManifest } from "./manifest.ts";
import { parseManifests } from "./parse-manifests.ts";
import { encodePolicy, judgePolicy } from "./policy.ts";

export interface ValidatedPolicies {
  readonly policies: readonly Policy[];
  /** One printable line each: `file:line: path: what; how to mend it`. */
  readonly problems: readonly string[];
  /** Documents that hold no policy. */
  readonly others: number;
}

export function validatePolicies(file: string, text: string): ValidatedPolicies {
  const { objects, problems, foreign } = parseManifests(file, text);
  const policies = new Map<string, Policy>();
  const lines = [...problems];
  let others = foreign.length;
  for (const object of objects) {
    if (object.kind !== "Policy") {
      others++;
      continue;
    }
    const name = policyName(object.policy);
    const fault = faultOf(object, policies.get(name));
    if (fault === undefined) policies.set(name, object.policy);
    else lines.push(`${object.source}: ${name}: ${fault}`);
  }
  return { policies: [...policies.values()], problems: lines, others };
}

function faultOf(manifest: PolicyManifest, first: Policy | undefined): string | undefined {
  if (first) return `is already defined in ${first.source}; remove one of the two`;
  const judged = judgePolicy(policyName(manifest.policy), encodePolicy(manifest));
  return judged.ok ? undefined : `${judged.rejection.detail}; make it smaller`;
}
