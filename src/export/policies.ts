/** Network policies as agents are told of them, and what about them cannot work as it is written. Pure. */
import { type Policy, policyName, type Requirement, type Selector } from "../model/policy.ts";
import type { PodManifest, PolicyManifest } from "../wire/manifest.ts";
import { AUDIT_ANNOTATION } from "../wire/parse-policy.ts";
import { quote } from "../wire/refusal.ts";
import { isIdentityLabel } from "./labels.ts";
import type { World } from "./world.ts";

function selectorsOf({ specs }: Policy): readonly Selector[] {
  const peers = specs.flatMap(({ rules }) => rules.flatMap((rule) => rule.peers ?? []));
  const selected = peers.flatMap((peer) => (peer.kind === "endpoints" ? [peer.selector] : []));
  return [...specs.map(({ subject }) => subject), ...selected];
}

/** One line each: what of a policy does nothing here, and how to mend it. */
export function policyProblems(world: World, { policy, source, namespace }: PolicyManifest): readonly string[] {
  const where = `${source}: ${policyName(policy)}`;
  const lines: string[] = [];
  if (namespace !== "" && !world.namespaces.has(namespace)) {
    lines.push(
      `${where}: namespace ${namespace} has no manifest; add a Namespace document, or mend metadata.namespace`,
    );
  }
  for (const key of unknowable(policy)) {
    const what = `label ${quote(key)} is no part of an identity, so that no workload is seen to have it`;
    lines.push(`${where}: ${what}; select by another label`);
  }
  return lines;
}

/** Keys of labels that say which instance a pod is: selectors see every workload without them. */
function unknowable(policy: Policy): ReadonlySet<string> {
  const requirements = selectorsOf(policy).flatMap((selector): readonly Requirement[] => selector.requirements);
  const ofWorkloads = requirements.filter(({ source }) => source !== "reserved");
  return new Set(ofWorkloads.map(({ key }) => key).filter((key) => !isIdentityLabel(key)));
}

/** Whether a pod asks for audit, and a line when its annotation makes no sense. */
export function podAudit({ annotations }: PodManifest): { readonly audit: boolean; readonly problem?: string } {
  const value = annotations.get(AUDIT_ANNOTATION) ?? "false";
  if (value === "true" || value === "false") return { audit: value === "true" };
  const what = `annotation ${AUDIT_ANNOTATION} is ${quote(value)} and counts as "false"`;
  return { audit: false, problem: `${what}; write "true" or "false"` };
}
