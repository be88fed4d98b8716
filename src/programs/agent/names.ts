/** Names for the numbers that the kernel reports: from the tables and the compiled policies. */
import type { FlowOwner, Names } from "../../flows/names.ts";
import { isCidrIdentity, reservedName } from "../../model/identity.ts";
import type { Label } from "../../model/resource.ts";
import type { PolicyCompiler } from "../../policy/policy-compiler.ts";
import type { TablesView } from "../../tables/tables-view.ts";

export class AgentNames implements Names {
  readonly #view: TablesView;
  readonly #policy: PolicyCompiler;
  /** Identity to CIDR, as last looked up. */
  #cidrs: ReadonlyMap<number, string> = new Map();

  constructor(view: TablesView, policy: PolicyCompiler) {
    this.#view = view;
    this.#policy = policy;
  }

  labels(identity: number): readonly string[] {
    const reserved = reservedName(identity);
    if (reserved !== undefined) return identity === 0 ? [] : [`reserved:${reserved}`];
    if (isCidrIdentity(identity)) return [`cidr:${this.#cidr(identity) ?? "withdrawn since"}`];
    return this.#view.identity(identity)?.labels.map(labelText).sort() ?? [];
  }

  owner(address: string): FlowOwner | undefined {
    const [claim] = this.#view.ipClaims(address);
    if (claim === undefined) return undefined;
    const pod = claim.podName === "" ? "" : `${claim.namespace}/${claim.podName}`;
    return { cluster: this.#view.clusterName(claim.clusterId) ?? "", pod };
  }

  endpoint(ifindex: number): string | undefined {
    return this.#policy.endpointName(ifindex);
  }

  rule(rule: number): string | undefined {
    return this.#policy.ruleName(rule);
  }

  #cidr(identity: number): string | undefined {
    const known = this.#cidrs.get(identity);
    if (known !== undefined && this.#policy.cidrs.get(known) === identity) return known;
    this.#cidrs = new Map([...this.#policy.cidrs].map(([cidr, number]) => [number, cidr]));
    return this.#cidrs.get(identity);
  }
}

function labelText({ source, key, value }: Label): string {
  return value === "" ? `${source}:${key}` : `${source}:${key}=${value}`;
}
