/** What `bulkhead policy list` and `bulkhead policy validate` print. */
import type { Direction, Policy, PolicySpec, Requirement, Selector } from "../model/policy.ts";
import { policyName } from "../model/policy.ts";
import type { AgentStatus, ProgramStatus } from "../model/status.ts";
import { safeText, table } from "./text.ts";

interface Row {
  readonly cluster: string;
  readonly name: string;
  readonly source: string;
  readonly audit: boolean;
  /** `node 2`: endpoints that it selects there. */
  readonly nodes: string[];
}

function rows(statuses: readonly ProgramStatus[]): readonly Row[] {
  const known = new Map<string, Row>();
  const agents = statuses.filter((status): status is AgentStatus => status.program === "agent");
  for (const { cluster, node, policies } of agents) {
    for (const { name, source, audit, endpoints } of policies) {
      const key = JSON.stringify([cluster, name, source, audit]);
      const row = known.get(key) ?? { cluster, name, source, audit, nodes: [] };
      row.nodes.push(`${node} ${endpoints}`);
      known.set(key, row);
    }
  }
  return [...known].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, row]) => row);
}

/** A row a policy and cluster; nodes that have another version of it stand apart. */
export function policiesText(statuses: readonly ProgramStatus[]): string {
  const columns = ["CLUSTER", "POLICY", "MODE", "ENDPOINTS", "SOURCE"];
  const cells = rows(statuses).map(({ cluster, name, source, audit, nodes }) => {
    return [cluster, name, audit ? "audit" : "enforced", nodes.sort().join(", "), source];
  });
  return cells.length === 0 ? "no policy" : table(columns, cells);
}

/** A row a pod's device: what is enforced in each direction, and by which policies. */
export function endpointsText(statuses: readonly ProgramStatus[]): string {
  const columns = ["CLUSTER", "NODE", "DEVICE", "POD", "IDENTITY", "INGRESS", "EGRESS", "POLICIES"];
  const agents = statuses.filter((status): status is AgentStatus => status.program === "agent");
  const cells = agents.flatMap(({ cluster, node, endpoints }) =>
    endpoints.map(({ device, pod = "unknown", identity, ingress, egress, policies }) => {
      return [cluster, node, device, pod, String(identity), ingress, egress, policies.join(" ")];
    }),
  );
  return table(
    columns,
    cells.sort((left, right) => (left.join() < right.join() ? -1 : 1)),
  );
}

function requirementText({ source, key, operator, values }: Requirement): string {
  const name = source === "any" ? key : `${source}:${key}`;
  if (operator === "Exists") return `${name} exists`;
  if (operator === "DoesNotExist") return `no ${name}`;
  if (operator === "In" && values.length === 1) return `${name}=${values[0]}`;
  return `${name} ${operator === "In" ? "in" : "not in"} (${values.join(", ")})`;
}

function selectorText({ requirements }: Selector): string {
  return requirements.length === 0 ? "every pod" : `pods with ${requirements.map(requirementText).join(" and ")}`;
}

function directionText({ defaultDeny, rules }: PolicySpec, direction: Direction): string {
  const own = rules.filter((rule) => rule.direction === direction);
  const counts = (["allow", "deny"] as const)
    .map((verdict) => ({ verdict, count: own.filter((rule) => rule.verdict === verdict).length }))
    .filter(({ count }) => count > 0)
    .map(({ verdict, count }) => `${count} ${verdict} rule${count === 1 ? "" : "s"}`);
  const rest = defaultDeny[direction] ? "denied unless allowed" : "open";
  return `${direction} ${[rest, ...counts].join(", ")}`;
}

/** A policy in words: whom it selects, and what it does in each direction; a line a spec. */
export function policyWords(policy: Policy): string {
  const head = `${policy.source}: ${policyName(policy)}${policy.audit ? " (audit)" : ""}`;
  const specs = policy.specs.map((spec) => {
    return `  ${selectorText(spec.subject)}: ${directionText(spec, "ingress")}; ${directionText(spec, "egress")}`;
  });
  return [head, ...specs].map(safeText).join("\n");
}
