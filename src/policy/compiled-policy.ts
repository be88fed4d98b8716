/**
 * One distinct policy of one direction: a row of entries for each identity that its rules name. It follows the sets of its peers; a row is always
 * made from scratch, so that changes in any order end in the same entries. Only rows of identities that a silent cluster has yet to say are taken over.
 */

import { POLICY_MAX_ENTRIES } from "../maps/policy-map.ts";
import { RESERVED_IDENTITIES } from "../model/identity.ts";
import type { NamedPort } from "../model/resource.ts";
import { type DesiredMap, type EntryKey, equalBytes } from "../tables/desired-map.ts";
import type { Question } from "./decide.ts";
import type { Follower, PeerSet } from "./peer-set.ts";
import { type PeerScope, type Peers, peersOf, type Term } from "./peers.ts";
import type { NumberedRule } from "./policy-book.ts";
import {
  ALLOWED_WITHOUT_RULE,
  keyOf,
  type Row,
  rowOf,
  type Saying,
  type Statement,
  saying,
  withDefault,
} from "./row.ts";
import { EVERYTHING, enclosing, exactSpan, type NamedPortRule, type Span, spansOf } from "./spans.ts";
import { isNamed, portsNamed, usesPeersPorts, type Wanted } from "./wanted.ts";

/** What policies are compiled with. */
export interface Surroundings extends PeerScope {
  /** undefined: there is no room for another peer like this. */
  follow(term: Term, follower: Follower): PeerSet | undefined;
  leave(term: Term, follower: Follower): void;
  namedPorts(identity: number): readonly NamedPort[];
  /** Of a cluster that has not said everything, nor this identity: what it had stays. */
  isUnsaid(identity: number): boolean;
  /** Of a cluster that has not said all of its addresses: what named ports of the identity opened stays. */
  arePortsUnsaid(identity: number): boolean;
}

export interface Predecessor {
  readonly slot: number;
  /** Of identities that are not said. */
  readonly rows: ReadonlyMap<number, Row>;
  /** Of identities whose ports are not said. */
  readonly ports: ReadonlyMap<number, Row>;
}

interface PeerOf {
  readonly set: PeerSet;
  /** Named ports of its members count. */
  readonly endpoints: boolean;
}

interface CompiledRule {
  readonly source: NumberedRule;
  readonly saying: Saying;
  readonly spans: readonly Span[];
  /** Of the peers, in egress. */
  readonly named: readonly NamedPortRule[];
  readonly anybody: boolean;
  readonly peers: readonly PeerOf[];
}

const ANYBODY = 0;
const HOST = RESERVED_IDENTITIES.host;

export class CompiledPolicy implements Follower {
  readonly wanted: Wanted;
  /** Slot of the policy in whose place it comes; 0: none. */
  readonly predecessor: number;
  readonly touched = new Set<number>();
  /** Endpoints that want it, or still use it. */
  users = 0;
  /** Where it stands in the kernel; undefined: nowhere yet. */
  slot: number | undefined;
  /** Why it cannot be used as it is: who has it is denied, or stays with what it had. */
  fault: string | undefined;
  readonly #around: Surroundings;
  readonly #terms: readonly Term[];
  #rules: readonly CompiledRule[] = [];
  #following = false;
  #built = false;
  #entries: DesiredMap | undefined;
  readonly #rows = new Map<number, Row>();
  #size = 0;
  /** Identities whose row found no room, and whether it denies something. */
  readonly #leftOut = new Map<number, boolean>();
  /** From the predecessor. */
  #inherited: ReadonlyMap<number, Row>;
  #inheritedPorts: ReadonlyMap<number, Row>;

  constructor(wanted: Wanted, around: Surroundings, before: Predecessor) {
    this.wanted = wanted;
    this.predecessor = before.slot;
    this.#around = around;
    this.#inherited = before.rows;
    this.#inheritedPorts = usesPeersPorts(wanted) ? before.ports : new Map();
    this.#terms = wanted.rules.flatMap((rule) => this.#peers(rule).terms);
  }

  get inherited(): ReadonlyMap<number, Row> {
    return this.#inherited;
  }

  get inheritedPorts(): ReadonlyMap<number, Row> {
    return this.#inheritedPorts;
  }

  /** Identities that have something only because the predecessor had it. */
  retained(): readonly number[] {
    return [...this.#inherited.keys(), ...this.#inheritedPorts.keys()];
  }

  get leftOut(): number {
    return this.#leftOut.size;
  }

  /** Not compiled since its peers changed. */
  get isStale(): boolean {
    return !this.#built || this.touched.size > 0;
  }

  get overflows(): boolean {
    return this.#size > POLICY_MAX_ENTRIES;
  }

  namesPeer(identity: number): boolean {
    return this.#rows.has(identity) || this.#rules.some((rule) => isPeer(rule, identity));
  }

  /** Compiles all rows anew. Afterwards it has a `fault`, or `settle` gives its `content` a place. */
  *build(): Generator<void> {
    this.#built = this.follow();
    this.fault = this.#built ? undefined : "there are too many CIDRs in policies";
    if (!this.#built) return;
    this.#rows.clear();
    this.#leftOut.clear();
    this.#size = 0;
    this.touched.clear();
    const memo: Memo = new Map();
    for (const identity of this.#universe()) {
      const row = this.#row(identity, memo);
      if (row.size > 0) this.#rows.set(identity, row);
      this.#size += row.size;
      yield;
    }
    if (this.overflows) this.fault = `it has ${this.#size} entries, more than ${POLICY_MAX_ENTRIES}`;
  }

  /** What `build` compiled. */
  content(): Map<EntryKey, Uint8Array> {
    const content = new Map<EntryKey, Uint8Array>();
    for (const [identity, row] of this.#rows) {
      for (const [span, { value }] of row) content.set(keyOf(identity, span), value);
    }
    return content;
  }

  settle(slot: number, entries: DesiredMap): void {
    this.slot = slot;
    this.fault = undefined;
    this.#entries = entries;
  }

  /** Brings the rows of touched identities up to date, in place. */
  *refresh(): Generator<void> {
    const entries = this.#entries;
    if (entries === undefined) return;
    const memo: Memo = new Map();
    while (this.touched.size > 0) {
      const [identity = ANYBODY] = this.touched;
      this.touched.delete(identity);
      this.#replace(entries, identity, this.#row(identity, memo));
      yield;
    }
    for (const identity of [...this.#leftOut.keys()].sort((left, right) => left - right)) {
      if (this.#size >= POLICY_MAX_ENTRIES) break;
      this.#replace(entries, identity, this.#row(identity, memo));
      yield;
    }
    const missesDenies = [...this.#leftOut.values()].includes(true);
    this.fault = missesDenies ? `its denies alone are more than ${POLICY_MAX_ENTRIES} entries` : undefined;
  }

  /** Their cluster spoke: rules count again, and nothing else. */
  disinherit(): void {
    this.#inherited = this.#without(this.#inherited, (identity) => !this.#around.isUnsaid(identity));
    this.#inheritedPorts = this.#without(this.#inheritedPorts, (identity) => !this.#around.arePortsUnsaid(identity));
  }

  #without(rows: ReadonlyMap<number, Row>, isSaid: (identity: number) => boolean): ReadonlyMap<number, Row> {
    const said = [...rows.keys()].filter(isSaid);
    if (said.length === 0) return rows;
    for (const identity of said) this.touched.add(identity);
    const gone = new Set(said);
    return new Map([...rows].filter(([identity]) => !gone.has(identity)));
  }

  /** Lets go of its peers. */
  leave(): void {
    for (const term of this.#terms) this.#around.leave(term, this);
    this.#following = false;
  }

  /** Rules that hold for the question, denies first. */
  matching({ identity, protocol, port }: Question): readonly NumberedRule[] {
    const spans = new Set(enclosing(64, protocol, port));
    return this.#rules
      .filter((rule) => {
        const asked = [
          ...(rule.anybody ? rule.spans : []),
          ...(isPeer(rule, identity) ? this.#spans(rule, identity) : []),
        ];
        return asked.some((span) => spans.has(span));
      })
      .map(({ source }) => source);
  }

  /** Named ports of its rules, and whether somebody has one. */
  *namedPorts(): Generator<{ readonly rule: NumberedRule; readonly port: NamedPortRule; readonly opens: boolean }> {
    for (const { source, named, peers } of this.#rules) {
      for (const port of source.rule.ports?.filter(isNamed) ?? []) {
        const opens = named.length === 0 ? this.#hasOwn(port) : this.#somePeerHas(peers, port);
        yield { rule: source, port, opens };
      }
    }
  }

  #hasOwn(port: NamedPortRule): boolean {
    return portsNamed(port, this.wanted.ownPorts).length > 0;
  }

  #somePeerHas(peers: readonly PeerOf[], port: NamedPortRule): boolean {
    for (const { set } of peers.filter(({ endpoints }) => endpoints)) {
      for (const identity of set.members) {
        if (portsNamed(port, this.#around.namedPorts(identity)).length > 0) return true;
      }
    }
    return false;
  }

  /** Whether there is room for all of its peers; again and again until there is. */
  follow(): boolean {
    if (this.#following) return true;
    const sets = new Map<string, PeerSet>();
    for (const term of this.#terms) {
      const set = this.#around.follow(term, this);
      if (set === undefined) {
        this.leave();
        return false;
      }
      sets.set(termKey(term), set);
    }
    this.#following = true;
    this.#rules = this.wanted.rules.map((rule) => this.#compile(rule, sets));
    const kept = [...this.#inherited].map(([identity, row]) => [identity, this.#stillSaid(row)] as const);
    this.#inherited = new Map(kept.filter(([, row]) => row.size > 0));
    return true;
  }

  /** What the rules could still say of somebody: who withdraws a rule or a port means those too of whom nothing is known. */
  #stillSaid(row: Row): Row {
    const rules = this.#rules.filter(({ peers }) => peers.length > 0);
    const isSaid = (span: Span, { value }: Saying): boolean =>
      rules.some(
        ({ saying: own, spans, named }) => equalBytes(own.value, value) && (named.length > 0 || spans.includes(span)),
      );
    const kept = [...row].filter(([span, one]) => isSaid(span, one));
    return new Map(kept.sort(([, left], [, right]) => Number(right.denies) - Number(left.denies)));
  }

  #compile(source: NumberedRule, sets: ReadonlyMap<string, PeerSet>): CompiledRule {
    const { rule, number } = source;
    const named = rule.ports?.filter(isNamed) ?? [];
    const own = named.flatMap((port) => portsNamed(port, this.wanted.ownPorts)).map(spanOfPort);
    const plain = rule.ports?.flatMap((port) => (isNamed(port) ? [] : spansOf(port))) ?? [EVERYTHING];
    const { anybody, terms } = this.#peers(source);
    const peers = terms.map((term) => ({
      set: sets.get(termKey(term)) as PeerSet,
      endpoints: term.kind === "labels" && term.endpoints,
    }));
    return {
      source,
      saying: saying(rule.verdict === "deny", number),
      spans: [...plain, ...own],
      named: this.wanted.direction === "egress" ? named : [],
      anybody,
      peers,
    };
  }

  /** Every identity that has a row. */
  #universe(): ReadonlySet<number> {
    const universe = new Set([ANYBODY, ...this.#inherited.keys()]);
    if (this.wanted.direction === "ingress") universe.add(HOST);
    for (const { peers } of this.#rules) {
      for (const { set } of peers) for (const identity of set.members) universe.add(identity);
    }
    return universe;
  }

  #row(identity: number, memo: Memo): Row {
    const inherited = this.#inherited.get(identity);
    if (inherited !== undefined) return inherited;
    const statements = this.#statements(identity);
    const key = statements.map(({ saying, spans }) => `${saying.value} ${spans}`).join();
    const row = memo.get(key) ?? rowOf(statements);
    memo.set(key, row);
    if (identity === ANYBODY && !this.wanted.enforced) return withDefault(row, ALLOWED_WITHOUT_RULE);
    if (identity === HOST && this.wanted.direction === "ingress") return withDefault(row, ALLOWED_WITHOUT_RULE);
    return row;
  }

  #statements(identity: number): readonly Statement[] {
    const rules = this.#rules.filter((rule) => (identity === ANYBODY ? rule.anybody : isPeer(rule, identity)));
    return rules.map((rule) => ({ saying: rule.saying, spans: this.#spans(rule, identity) }));
  }

  /** Of one peer; what is said of anybody is not said again of it. */
  #spans(rule: CompiledRule, identity: number): readonly Span[] {
    const { spans, named, anybody, peers } = rule;
    if (named.length === 0 || !peers.some(({ set, endpoints }) => endpoints && set.members.has(identity))) return spans;
    const ports = this.#around.namedPorts(identity);
    const opened = [...named.flatMap((port) => portsNamed(port, ports)).map(spanOfPort), ...this.#held(rule, identity)];
    return [...(anybody ? [] : spans), ...opened];
  }

  /** What this very rule said of the identity before. */
  #held({ saying }: CompiledRule, identity: number): readonly Span[] {
    const row = this.#inheritedPorts.get(identity) ?? [];
    return [...row].filter(([, { value }]) => equalBytes(value, saying.value)).map(([span]) => span);
  }

  /** Beside anybody, single peers count only for the names of their ports. */
  #peers({ rule }: NumberedRule): Peers {
    const { anybody, terms } = peersOf(rule.peers, this.#around);
    if (!anybody) return { anybody, terms };
    const byName = this.wanted.direction === "egress" && rule.ports?.some(isNamed);
    return { anybody, terms: byName ? terms.filter((term) => term.kind === "labels" && term.endpoints) : [] };
  }

  /** New denies before new allows, and old allows gone before old denies: no packet finds more open than before and after. */
  #replace(entries: DesiredMap, identity: number, row: Row): void {
    const before = this.#rows.get(identity);
    if (before === row) return;
    const grown = row.size - (before?.size ?? 0);
    const fits = this.#size + grown <= POLICY_MAX_ENTRIES || this.#makeRoom(entries, identity, row, grown);
    const after = fits ? row : new Map<Span, Saying>();
    if (fits) this.#leftOut.delete(identity);
    else this.#leftOut.set(identity, denies(row));
    for (const [span, { value }] of after) entries.set(keyOf(identity, span), value);
    for (const span of [...(before?.keys() ?? [])].reverse()) {
      if (!after.has(span)) entries.delete(keyOf(identity, span));
    }
    this.#size += after.size - (before?.size ?? 0);
    if (after.size > 0) this.#rows.set(identity, after);
    else this.#rows.delete(identity);
  }

  /** A row that denies must not be left out: rows that only allow make place. */
  #makeRoom(entries: DesiredMap, identity: number, row: Row, grown: number): boolean {
    if (!denies(row)) return false;
    const others = [...this.#rows.keys()].sort((left, right) => right - left);
    for (const other of others) {
      if (this.#size + grown <= POLICY_MAX_ENTRIES) return true;
      const victim = this.#rows.get(other);
      if (victim === undefined || other === identity || denies(victim)) continue;
      for (const span of victim.keys()) entries.delete(keyOf(other, span));
      this.#size -= victim.size;
      this.#rows.delete(other);
      this.#leftOut.set(other, false);
    }
    return this.#size + grown <= POLICY_MAX_ENTRIES;
  }
}

type Memo = Map<string, Row>;

function denies(row: Row): boolean {
  return [...row.values()].some((saying) => saying.denies);
}

function termKey({ kind, text }: Term): string {
  return `${kind} ${text}`;
}

function spanOfPort({ protocol, port }: NamedPort): Span {
  return exactSpan(protocol, port);
}

function isPeer({ peers }: CompiledRule, identity: number): boolean {
  return peers.some(({ set }) => set.members.has(identity));
}
