/** Rules have numbers in the kernel that are the same on every node and after every restart; here they get their names back. */
import { createHash } from "node:crypto";
import { type Policy, type PolicyRule, policyName } from "../model/policy.ts";

/** 1 to 2^32 - 1. */
export function ruleNumber(policy: string, path: string): number {
  const digest = createHash("sha256").update(`${policy} ${path}`).digest();
  const [a = 0, b = 0, c = 0, d = 0] = digest;
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0 || 1;
}

/** `CiliumNetworkPolicy/demo/ledger ingress[0] (ledger.yaml:3)`. */
export function ruleText(policy: Policy, rule: PolicyRule): string {
  return `${policyName(policy)} ${rule.path} (${policy.source})`;
}

export class RuleNames {
  /** Two rules may have one number: then both are named. */
  readonly #names = new Map<number, Set<string>>();

  add(number: number, text: string): void {
    this.#names.set(number, (this.#names.get(number) ?? new Set()).add(text));
  }

  remove(number: number, text: string): void {
    const names = this.#names.get(number);
    names?.delete(text);
    if (names?.size === 0) this.#names.delete(number);
  }

  get(number: number): string | undefined {
    const names = this.#names.get(number);
    return names && [...names].sort().join(" or ");
  }
}
