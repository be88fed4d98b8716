/**
 * Tables to `policies`, `endpoints` and `endpoint_addresses`. Deterministic but for the numbers of slots and CIDRs. Incremental: an identity touches the rows
 * of the selectors that it matches; a policy that changed gets a slot of its own, and endpoints move to it whole. Until the own cluster has said
 * everything, what the kernel held stays as it was and new devices are denied.
 */

import { decodeIpcacheCidrKey, decodeIpcacheCidrValue } from "../maps/ipcache-cidr-map.ts";
import { formatCidr, isV4 } from "../model/address.ts";
import type { EndpointStatus } from "../model/endpoint.ts";
import { isCidrIdentity } from "../model/identity.ts";
import { policyName } from "../model/policy.ts";
import type { PolicyStatus } from "../model/status.ts";
import type { DesiredMap } from "../tables/desired-map.ts";
import type { ChangeSet, SourceKind, TablesView } from "../tables/tables-view.ts";
import { CompiledPolicies } from "./compiled-policies.ts";
import { type Decision, decide, FORWARDED, type Question } from "./decide.ts";
import { EndpointTable } from "./endpoint-table.ts";
import { PolicyBook } from "./policy-book.ts";
import type { Dump } from "./policy-slots.ts";

export interface PolicyOptions {
  /** Peers that do not mention a cluster are the own cluster's. */
  readonly defaultLocalCluster: boolean;
  /** Workloads that no table knows, in a cluster with policies. */
  readonly unknownEndpoints: "deny" | "allow";
}

export interface HeldPolicy {
  /** By slot. */
  readonly policies: ReadonlyMap<number, Dump>;
  readonly endpoints: Dump;
  readonly addresses: Dump;
  readonly cidrs: Dump;
}

/** A rule that holds for a question. */
export interface MatchingRule {
  readonly name: string;
  readonly number: number;
  readonly verdict: "allow" | "deny";
}

/** Of the own cluster: without them nobody can say who is allowed what. */
const NEEDED: readonly SourceKind[] = ["policies", "identities", "local-identities", "ip", "local-ip", "endpoints"];

/** Ports that open nothing, each with a line of its own. */
const LISTED_PROBLEMS = 20;

export class PolicyCompiler {
  readonly #view: TablesView;
  readonly #book = new PolicyBook();
  readonly #policies: CompiledPolicies;
  readonly #table: EndpointTable;
  #networkRead = false;
  #started = false;

  constructor(view: TablesView, options: PolicyOptions) {
    this.#view = view;
    this.#policies = new CompiledPolicies(view, options.defaultLocalCluster);
    this.#table = new EndpointTable(view, this.#book, this.#policies, options.unknownEndpoints);
  }

  get endpoints(): DesiredMap {
    return this.#table.endpoints;
  }

  get addresses(): DesiredMap {
    return this.#table.addresses;
  }

  /** By slot. */
  get policies(): ReadonlyMap<number, DesiredMap> {
    return this.#policies.slots.maps;
  }

  /** Canonical CIDR to identity. */
  get cidrs(): ReadonlyMap<string, number> {
    return this.#policies.cidrs.identities;
  }

  /** Whether the tables were complete once: from then on they decide alone. */
  get started(): boolean {
    return this.#started;
  }

  /** Takes over what the kernel holds; before the first `update`. */
  adopt(held: HeldPolicy): void {
    for (const [slot, dump] of held.policies) this.#policies.slots.adopt(slot, dump);
    for (const [key, value] of held.cidrs) {
      const { identity } = decodeIpcacheCidrValue(value);
      if (isCidrIdentity(identity)) this.#policies.cidrs.adopt(cidrText(key), identity);
    }
    this.#table.adopt(held.endpoints, held.addresses);
  }

  /** Yields between rows: the caller may rest, and the tables may change meanwhile. */
  *update(changes: ChangeSet): Generator<void> {
    this.#networkRead ||= changes.devices;
    const first = !this.#started;
    if (first && !this.#isComplete()) return this.#table.guardNew();
    this.#started = true;
    if (first) yield* this.#load();
    else yield* this.#apply(changes);
    const { addresses, identities, namedPorts } = changes;
    const concerned = this.#table.concernedBy(addresses, identities, namedPorts);
    if (first || changes.devices || changes.policies.size > 0 || concerned) yield* this.#table.update();
    yield* this.#settle();
    if (!first) return;
    this.#policies.slots.forgetAdopted();
    this.#policies.cidrs.forgetAdopted();
  }

  /** Slots that the kernel has let go of, of those let go of here, may be used again. */
  released(isFree: (slot: number) => boolean): void {
    this.#policies.slots.released(isFree);
  }

  /** `namespace/pod` behind the device, or the device's name; undefined when there is no such device. */
  endpointName(ifindex: number): string | undefined {
    return this.#table.nameOf(ifindex);
  }

  endpointStatus(): readonly EndpointStatus[] {
    return this.#table.status();
  }

  policyStatus(): readonly PolicyStatus[] {
    const selected = Map.groupBy(
      this.endpointStatus().flatMap(({ policies }) => policies),
      (name) => name,
    );
    const statuses = this.#book.policies().map((policy) => {
      const name = policyName(policy);
      return { name, source: policy.source, audit: policy.audit, endpoints: selected.get(name)?.length ?? 0 };
    });
    return statuses.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** `CiliumNetworkPolicy/demo/ledger ingress[0] (ledger.yaml:3)`; two when two rules have one number. */
  ruleName(number: number): string | undefined {
    return this.#book.ruleName(number);
  }

  /** What the entries of a slot say; 0: the direction is open. */
  decide(slot: number, question: Question): Decision {
    if (slot === 0) return FORWARDED;
    const entries = this.policies.get(slot);
    return entries === undefined
      ? { ...FORWARDED, verdict: "dropped", reason: "policy-missing" }
      : decide(entries, question);
  }

  /** Every rule of a slot that holds for the question, denies first. */
  matchingRules(slot: number, question: Question): readonly MatchingRule[] {
    const rules = this.#policies.inSlot(slot)?.matching(question) ?? [];
    return rules.map(({ text, number, rule }) => ({ name: text, number, verdict: rule.verdict }));
  }

  /** The device of a pod of this node. */
  ifindexOf(pod: string): number | undefined {
    return this.#table.ifindexOf(pod);
  }

  /** Ids of clusters of which policies hold identities only because the kernel had them. */
  retainedClusters(): ReadonlySet<number> {
    return this.#policies.retainedClusters();
  }

  problems(): readonly string[] {
    const unopened = this.#unopened().sort();
    const more = unopened.length - LISTED_PROBLEMS;
    const rest = more > 0 ? [`${more} more rules with ports that open nothing`] : [];
    return [...this.#table.problems(), ...this.#overfull(), ...unopened.slice(0, LISTED_PROBLEMS), ...rest];
  }

  #isComplete(): boolean {
    const { own } = this.#view;
    return this.#networkRead && NEEDED.every((kind) => this.#view.isSynced(kind, own.id));
  }

  *#load(): Generator<void> {
    for (const policy of this.#view.policies()) {
      this.#book.set(policyName(policy), policy);
      yield;
    }
    for (const { id, labels } of this.#view.identities()) {
      this.#policies.labels.put(id, labels);
      yield;
    }
  }

  *#apply(changes: ChangeSet): Generator<void> {
    for (const name of changes.policies) {
      this.#book.set(name, this.#view.policy(name));
      yield;
    }
    for (const identity of changes.identities) {
      const labels = this.#view.identity(identity)?.labels;
      if (labels === undefined) this.#policies.labels.remove(identity);
      else this.#policies.labels.put(identity, labels);
      yield;
    }
    for (const identity of changes.namedPorts) this.#policies.portsChanged(identity);
    if (changes.identities.size > 0 || changes.sources) this.#policies.disinherit();
  }

  /** What nobody uses any more goes last: CIDRs that go with it touch rows of others, and leave room. */
  *#settle(): Generator<void> {
    yield* this.#policies.refresh();
    this.#table.settle();
    this.#policies.collect();
    yield* this.#policies.refresh();
    this.#table.settle();
    this.#table.write();
  }

  #overfull(): string[] {
    return [...this.#policies]
      .filter(({ leftOut }) => leftOut > 0)
      .map(({ wanted, leftOut }) => {
        const [rule] = wanted.rules;
        return `${leftOut} identities are denied: the ${wanted.direction} policy with ${rule?.text} is full`;
      });
  }

  /** Names of ports that open nothing. */
  #unopened(): string[] {
    const opens = new Map<string, boolean>();
    for (const policy of this.#policies) {
      for (const { rule, port, opens: open } of policy.namedPorts()) {
        // A rule without protocol asks for the name with each: one that is there is enough.
        const text = `${rule.text}: no container has a port ${port.name} for it: it opens nothing`;
        opens.set(text, open || (opens.get(text) ?? false));
      }
    }
    return [...opens].filter(([, open]) => !open).map(([text]) => text);
  }
}

function cidrText(key: Uint8Array): string {
  const { prefixLength, address } = decodeIpcacheCidrKey(key);
  return formatCidr({ address, bits: isV4(address) ? prefixLength - 96 : prefixLength });
}
