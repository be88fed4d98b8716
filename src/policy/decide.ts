/** What the kernel answers, from the entries that it holds: the same two probes. */
import { decodePolicyValue, POLICY_PREFIX, VERDICT_DENIED } from "../maps/policy-map.ts";
import type { DropReason, Verdict } from "../model/flow.ts";
import type { EntryKey } from "../tables/desired-map.ts";
import { keyOf } from "./row.ts";
import { enclosing, readSpan } from "./spans.ts";

/** What a policy is asked about a packet: its peer, protocol number, and port or ICMP type. */
export interface Question {
  readonly identity: number;
  readonly protocol: number;
  readonly port: number;
}

export interface Decision {
  readonly verdict: Verdict;
  readonly reason: DropReason;
  /** Number of the rule that decided; 0: none did. */
  readonly rule: number;
}

interface Hit {
  readonly prefixLength: number;
  readonly rule: number;
  readonly denied: boolean;
}

interface Entries {
  get(key: EntryKey): Uint8Array | undefined;
}

const ANYBODY = 0;
export const FORWARDED: Decision = { verdict: "allowed", reason: "forwarded", rule: 0 };

export function decide(entries: Entries, question: Question): Decision {
  const own = longest(entries, question);
  const anybody = longest(entries, { ...question, identity: ANYBODY });
  const hit = deciding(own, anybody);
  if (hit === undefined) return { verdict: "dropped", reason: "policy-denied", rule: 0 };
  return hit.denied
    ? { verdict: "dropped", reason: "policy-deny-rule", rule: hit.rule }
    : { ...FORWARDED, rule: hit.rule };
}

/** A deny beats an allow; else the longer prefix is named, and of equal ones the identity's. */
function deciding(own: Hit | undefined, anybody: Hit | undefined): Hit | undefined {
  if (own === undefined || anybody === undefined) return own ?? anybody;
  if (own.denied !== anybody.denied) return own.denied ? own : anybody;
  return anybody.prefixLength > own.prefixLength ? anybody : own;
}

function longest(entries: Entries, { identity, protocol, port }: Question): Hit | undefined {
  for (const span of enclosing(POLICY_PREFIX.exact, protocol, port)) {
    const value = entries.get(keyOf(identity, span));
    if (value === undefined) continue;
    const { rule, verdict } = decodePolicyValue(value);
    return { prefixLength: readSpan(span).prefixLength, rule, denied: verdict === VERDICT_DENIED };
  }
  return undefined;
}
