// The second way: the product's parser, tables and compilers, and then a packet's path through the entries, told as the kernel goes.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { IpcacheCompiler } from "../../../src/ipcache/ipcache-compiler.ts";
import { ENDPOINT_FLAGS } from "../../../src/maps/endpoint-map.ts";
import { VERDICT_DENIED } from "../../../src/maps/policy-map.ts";
import { type MatchingRule, PolicyCompiler } from "../../../src/policy/policy-compiler.ts";
import type { AgentTables } from "../../../src/tables/agent-tables.ts";
import type { Outcome } from "../reference/evaluate.ts";
import type { Tuple, World } from "../reference/world.ts";
import { type Compiled, type Match, NodeMaps, type PolicyTrie } from "./entries.ts";
import { type Spoiler, spoilLookup, spoilPolicies } from "./spoilers.ts";
import { devicesOf, emptyTables, IdentityNumbers, listInto, policiesOf } from "./tables.ts";

const PROTOCOLS = { ICMP: 1, TCP: 6, UDP: 17, GRE: 47, ICMPv6: 58, SCTP: 132 } as const;

export interface Answer {
  readonly verdict: Outcome["verdict"];
  readonly reason: Outcome["reason"] | "policy-missing";
  readonly rule: number;
}

export interface Explanation {
  /** Number of the rule that decided. */
  readonly rule: number;
  readonly matching: readonly MatchingRule[];
}

const numbers = new Map<string, number>([["", 0]]);

/** The number by which the kernel knows a rule; 0 for none. */
export function ruleNumber(name: string): number {
  const number = numbers.get(name) ?? (createHash("sha256").update(name).digest().readUInt32LE(0) || 1);
  numbers.set(name, number);
  return number;
}

function answer(verdict: Answer["verdict"], reason: Answer["reason"], rule = 0): Answer {
  return { verdict, reason, rule };
}

/** Which of the two matches speaks: a deny before an allow, then the longer prefix, then the identity's own. */
function stronger(own: Match | undefined, anybody: Match | undefined): Match | undefined {
  if (own === undefined || anybody === undefined) return own ?? anybody;
  const denies = (match: Match): boolean => match.verdict === VERDICT_DENIED;
  if (denies(own) !== denies(anybody)) return denies(own) ? own : anybody;
  return anybody.prefixLength > own.prefixLength ? anybody : own;
}

function ask(policy: PolicyTrie, identity: number, { protocol, port }: Tuple, spoiler?: Spoiler): Match | undefined {
  const number = PROTOCOLS[protocol];
  const known = protocol === "GRE" ? 0 : port;
  const matches = [policy.longest(identity, number, known), policy.longest(0, number, known)] as const;
  return spoilLookup(matches, spoiler) ?? stronger(...matches);
}

function finish(steps: Generator<void>): void {
  for (const _ of steps);
}

/** A node as compiled, to be asked about packets. It may live through many worlds: each further one is compiled as a change of the one before. */
export class CompiledNode {
  readonly #spoiler: Spoiler | undefined;
  readonly #tables: AgentTables;
  readonly #policy: PolicyCompiler;
  readonly #ipcache: IpcacheCompiler;
  readonly #numbers = new IdentityNumbers();
  #maps: NodeMaps;
  #ifindexes: ReadonlyMap<string, number> = new Map();

  constructor(world: World, spoiler?: Spoiler) {
    const { defaultLocalCluster, unknownEndpoints } = world;
    this.#spoiler = spoiler;
    this.#tables = emptyTables(world);
    this.#policy = new PolicyCompiler(this.#tables, { defaultLocalCluster, unknownEndpoints });
    this.#ipcache = new IpcacheCompiler(this.#tables);
    this.#maps = new NodeMaps(this.compiled);
    this.become(world);
  }

  get compiled(): Compiled {
    const { endpoints, addresses, policies } = this.#policy;
    return { endpoints, addresses, policies, ipcache: this.#ipcache.entries, cidrs: this.#ipcache.cidrs };
  }

  /** The settings must be those of the first world. */
  become(world: World): void {
    listInto(this.#tables, world, spoilPolicies(policiesOf(world), this.#spoiler), this.#numbers);
    const changes = this.#tables.takeChanges();
    finish(this.#policy.update(changes));
    finish(this.#ipcache.update(changes, this.#policy.cidrs));
    this.#policy.released((one) => !this.#policy.policies.has(one));
    this.#maps = new NodeMaps(this.compiled);
    this.#ifindexes = new Map(devicesOf(world).map(({ endpoint, ifindex }) => [endpoint, ifindex]));
  }

  /** Of the endpoint's device in the compiled entries. */
  ifindexOf(endpoint: string): number {
    const ifindex = this.#ifindexes.get(endpoint);
    assert(ifindex !== undefined, `${endpoint} has a device`);
    return ifindex;
  }

  judge(tuple: Tuple): Answer {
    const ifindex = this.ifindexOf(tuple.endpoint);
    const endpoint = this.#maps.endpoint(ifindex);
    const ingress = tuple.direction === "ingress";
    if (endpoint === undefined || (endpoint.flags & ENDPOINT_FLAGS.denied) !== 0) {
      return answer("dropped", "endpoint-unknown");
    }
    const verified = (endpoint.flags & ENDPOINT_FLAGS.unverified) === 0;
    if (!ingress && verified && !this.#maps.maySend(ifindex, tuple.address)) return answer("dropped", "spoofed-source");
    const slot = ingress ? endpoint.ingressPolicy : endpoint.egressPolicy;
    if (slot === 0) return answer("allowed", "forwarded");
    const audited = (endpoint.flags & (ingress ? ENDPOINT_FLAGS.auditIngress : ENDPOINT_FLAGS.auditEgress)) !== 0;
    return this.#judgePolicy(tuple, slot, audited ? "audited" : "dropped");
  }

  /** What the compiler itself tells of the tuple, for `policy explain`: how its entries decide, and every rule that holds. */
  explain(tuple: Tuple): Explanation | undefined {
    const endpoint = this.#maps.endpoint(this.ifindexOf(tuple.endpoint));
    const slot = tuple.direction === "ingress" ? endpoint?.ingressPolicy : endpoint?.egressPolicy;
    const { identity, unknown } = this.#maps.peer(tuple.peer);
    if (slot === undefined || slot === 0 || unknown) return undefined;
    const question = { identity, protocol: PROTOCOLS[tuple.protocol], port: tuple.protocol === "GRE" ? 0 : tuple.port };
    const { rule } = this.#policy.decide(slot, question);
    return { rule, matching: this.#policy.matchingRules(slot, question) };
  }

  #judgePolicy(tuple: Tuple, slot: number, refusal: "audited" | "dropped"): Answer {
    const { identity, unknown } = this.#maps.peer(tuple.peer);
    if (unknown && this.#spoiler !== "unknown is world") return answer(refusal, "identity-unknown");
    const policy = this.#maps.policy(slot);
    if (policy === undefined) return answer("dropped", "policy-missing");
    const match = ask(policy, unknown ? 9 : identity, tuple, this.#spoiler);
    if (match === undefined) return answer(refusal, "policy-denied");
    if (match.verdict === VERDICT_DENIED) return answer("dropped", "policy-deny-rule", match.rule);
    return answer("allowed", "forwarded", match.rule);
  }
}

/** What is wrong with an answer, or undefined. */
export function disagreement(expected: Outcome, found: Answer): string | undefined {
  const named = expected.rules.some((name) => ruleNumber(name) === found.rule);
  if (expected.verdict === found.verdict && expected.reason === found.reason && named) return undefined;
  const rules = expected.rules.map((name) => `${name || "no rule"} (${ruleNumber(name)})`).join(" or ");
  return `${found.verdict} ${found.reason} by rule ${found.rule}, not ${expected.verdict} ${expected.reason} by ${rules}`;
}

/** What is wrong with an explanation of an answer that is right, or undefined. */
export function misexplained(expected: Outcome, found: Answer, told: Explanation | undefined): string | undefined {
  if (told === undefined || expected.reason === "spoofed-source") return undefined;
  if (told.rule !== found.rule) return `explained by rule ${told.rule}, not ${found.rule}`;
  const verdict = expected.reason === "policy-deny-rule" ? "deny" : "allow";
  const matching = told.matching.filter((rule) => rule.verdict === verdict).map(({ number }) => number);
  const expectedNumbers = expected.rules.map(ruleNumber).filter((number) => number !== 0);
  const unexpected = matching.filter((number) => !expectedNumbers.includes(number));
  // Where everything is allowed, rules that allow need not be told.
  const missing = expected.rules.includes("") ? [] : expectedNumbers.filter((number) => !matching.includes(number));
  if (unexpected.length + missing.length === 0) return undefined;
  return `explained with rules ${matching.join(", ")}, not ${expectedNumbers.join(", ")}`;
}
