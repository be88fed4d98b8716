/** The policies in force, cut by direction, and which of them select an identity. */
import { createHash } from "node:crypto";
import { type Direction, type Policy, type PolicyRule, type PolicySpec, policyName } from "../model/policy.ts";
import type { Label } from "../model/resource.ts";
import { RuleNames, ruleNumber, ruleText } from "./rule-numbers.ts";
import { matches } from "./selector.ts";

/** What one spec says of one direction. */
export interface Half {
  /** Equal for halves that compile to the same entries. */
  readonly key: string;
  readonly defaultDeny: boolean;
  readonly audit: boolean;
  readonly rules: readonly NumberedRule[];
}

export interface NumberedRule {
  readonly rule: PolicyRule;
  readonly number: number;
  readonly text: string;
}

/** A spec that selects an identity. */
export interface Selecting {
  readonly policy: string;
  readonly ingress: Half | undefined;
  readonly egress: Half | undefined;
}

interface Spec extends Selecting {
  readonly subject: PolicySpec["subject"];
}

interface Installed {
  readonly policy: Policy;
  readonly specs: readonly Spec[];
}

interface Selection {
  readonly labels: readonly Label[];
  readonly byPolicy: Map<string, readonly Selecting[]>;
}

export class PolicyBook {
  readonly #installed = new Map<string, Installed>();
  readonly #names = new RuleNames();
  /** By identity, of local endpoints only. */
  readonly #selections = new Map<number, Selection>();

  get size(): number {
    return this.#installed.size;
  }

  policies(): Policy[] {
    return [...this.#installed.values()].map(({ policy }) => policy);
  }

  ruleName(number: number): string | undefined {
    return this.#names.get(number);
  }

  /** @param policy undefined: withdrawn. */
  set(name: string, policy: Policy | undefined): void {
    for (const { number, text } of rulesOf(this.#installed.get(name))) this.#names.remove(number, text);
    const installed = policy && install(policy);
    if (installed === undefined) this.#installed.delete(name);
    else this.#installed.set(name, installed);
    for (const { number, text } of rulesOf(installed)) this.#names.add(number, text);
    for (const selection of this.#selections.values()) select(selection, name, installed);
  }

  /** Specs that select an identity of the own cluster, by name of their policy. */
  selecting(identity: number, labels: readonly Label[]): readonly Selecting[] {
    let selection = this.#selections.get(identity);
    if (selection?.labels !== labels) {
      selection = { labels, byPolicy: new Map() };
      for (const [name, installed] of this.#installed) select(selection, name, installed);
      this.#selections.set(identity, selection);
    }
    const names = [...selection.byPolicy.keys()].sort();
    return names.flatMap((name) => selection.byPolicy.get(name) ?? []);
  }

  /** Forgets selections of identities that no local endpoint has any more. */
  keepOnly(identities: ReadonlySet<number>): void {
    for (const identity of this.#selections.keys()) if (!identities.has(identity)) this.#selections.delete(identity);
  }
}

function select({ labels, byPolicy }: Selection, name: string, installed: Installed | undefined): void {
  const specs = installed?.specs.filter(({ subject }) => matches(subject.requirements, labels)) ?? [];
  if (specs.length > 0) byPolicy.set(name, specs);
  else byPolicy.delete(name);
}

function install(policy: Policy): Installed {
  const name = policyName(policy);
  const specs = policy.specs.map((spec, index) => ({
    policy: name,
    subject: spec.subject,
    ingress: halfOf(policy, spec, index, "ingress"),
    egress: halfOf(policy, spec, index, "egress"),
  }));
  return { policy, specs };
}

function halfOf(policy: Policy, spec: PolicySpec, index: number, direction: Direction): Half | undefined {
  const defaultDeny = spec.defaultDeny[direction];
  const rules = spec.rules.filter((rule) => rule.direction === direction);
  if (!defaultDeny && rules.length === 0) return undefined;
  const name = policyName(policy);
  const digest = createHash("sha256")
    .update(JSON.stringify([defaultDeny, rules]))
    .digest("base64url");
  const numbered = rules.map((rule) => ({
    rule,
    number: ruleNumber(name, rule.path),
    text: ruleText(policy, rule),
  }));
  return { key: `${name}#${index} ${digest}`, defaultDeny, audit: policy.audit, rules: numbered };
}

function rulesOf(installed: Installed | undefined): readonly NumberedRule[] {
  return (
    installed?.specs.flatMap(({ ingress, egress }) => [ingress, egress].flatMap((half) => half?.rules ?? [])) ?? []
  );
}
