/** How much policy this node enforces, as metrics. */
import type { Enforcement } from "../../model/endpoint.ts";
import type { PolicyCompiler } from "../../policy/policy-compiler.ts";
import type { Metrics } from "../../runtime/metrics.ts";

const DIRECTIONS = ["ingress", "egress"] as const;
const STATES: readonly Enforcement[] = ["open", "enforced", "audit", "denied"];

export function measurePolicies(metrics: Metrics, policy: PolicyCompiler): void {
  const endpoints = policy.endpointStatus();
  const states = metrics.gauge("bulkhead_policy_endpoints", "Endpoints of this node.", ["direction", "state"]);
  for (const direction of DIRECTIONS) {
    for (const state of STATES) {
      const count = endpoints.filter((endpoint) => endpoint[direction] === state).length;
      states.set(count, { direction, state });
    }
  }
  const documents = metrics.gauge("bulkhead_policy_documents", "Policies of the own cluster.");
  documents.set(policy.policyStatus().length);
  const entries = [...policy.policies.values()].reduce((sum, slot) => sum + slot.size, 0);
  metrics.gauge("bulkhead_policy_entries", "Entries of all compiled policies.").set(entries);
  const problems = metrics.gauge("bulkhead_policy_problems", "Rules and endpoints that do not work as written.");
  problems.set(policy.problems().length);
}
