import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Cidr, cidrContains, formatCidr, parseCidr } from "../../src/model/address.ts";
import type { Requirement } from "../../src/model/policy.ts";
import { CidrSets } from "../../src/policy/cidr-sets.ts";
import { LabelSets } from "../../src/policy/label-sets.ts";
import type { Follower } from "../../src/policy/peer-set.ts";
import { type CidrTerm, type LabelTerm, peersOf } from "../../src/policy/peers.ts";
import { PrefixTrie } from "../../src/policy/prefix-trie.ts";
import { rowOf, saying } from "../../src/policy/row.ts";
import { RuleNames, ruleNumber } from "../../src/policy/rule-numbers.ts";
import { matches } from "../../src/policy/selector.ts";
import { EVERYTHING, enclosing, readSpan, spansOf } from "../../src/policy/spans.ts";
import { anywhere, cidr, endpoints, identityOf, is, label, OWN, workload } from "./stage.ts";

const SCOPE = { cluster: OWN.name, defaultLocalCluster: true };
/** First four bytes of the hash, computed by another program. */
const RULE_NUMBER = 1_790_883_699;
const follower = (): Follower => ({ touched: new Set() });

test("a range of ports is at most 30 prefixes that hold its ports and no others", () => {
  const port = fc.integer({ min: 0, max: 65_535 });
  fc.assert(
    fc.property(port, port, port, (one, other, asked) => {
      const [first, last] = [Math.min(one, other), Math.max(one, other)];
      const spans = new Set(spansOf({ protocol: "TCP", first, last }));
      assert(spans.size <= 30);
      for (const probe of [first, last, asked, Math.max(0, first - 1), Math.min(65_535, last + 1)]) {
        const hits = [...enclosing(64, 6, probe)].filter((span) => spans.has(span));
        assert.equal(hits.length, probe >= first && probe <= last ? 1 : 0, `${probe} of ${first}-${last}`);
      }
    }),
  );
  assert.equal(spansOf({ protocol: "UDP", first: 1, last: 65_534 }).length, 30);
  assert.deepEqual(spansOf({ protocol: "UDP", first: 0, last: 65_535 }).map(readSpan), [
    { prefixLength: 40, protocol: 17, port: 0 },
  ]);
  assert.deepEqual(spansOf({ protocol: "ICMPv6", type: 128 }).map(readSpan), [
    { prefixLength: 64, protocol: 58, port: 128 },
  ]);
});

test("within a row, the longest prefix that holds a port denies just when some deny holds it", () => {
  const range = fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 63 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), fc.integer({ min: 0, max: 63 }), (ranges, asked) => {
      const rules = ranges.map(([one, other, denies], index) => {
        const [first, last] = [Math.min(one, other), Math.max(one, other)];
        return { first, last, denies, number: index + 1 };
      });
      const ordered = [...rules.filter(({ denies }) => denies), ...rules.filter(({ denies }) => !denies)];
      const row = rowOf(
        ordered.map(({ first, last, denies, number }) => ({
          saying: saying(denies, number),
          spans: spansOf({ protocol: "TCP", first, last }),
        })),
      );
      const holding = rules.filter(({ first, last }) => asked >= first && asked <= last);
      const hit = [...enclosing(64, 6, asked)].map((span) => row.get(span)).find((found) => found !== undefined);
      assert.equal(hit !== undefined, holding.length > 0);
      assert.equal(
        hit?.denies ?? false,
        holding.some(({ denies }) => denies),
      );
    }),
  );
  const deny = saying(true, 1);
  const covered = rowOf([
    { saying: deny, spans: [EVERYTHING] },
    { saying: saying(false, 2), spans: spansOf({ protocol: "TCP", first: 80, last: 80 }) },
  ]);
  assert.deepEqual([...covered], [[EVERYTHING, deny]]);
});

const labelTerm = (...parts: readonly Requirement[]): LabelTerm =>
  peersOf([endpoints(...parts)], SCOPE).terms[0] as LabelTerm;

test("an identity that comes touches only selectors that can match it", () => {
  const sets = new LabelSets();
  const one = follower();
  for (let index = 0; index < 3000; index++) sets.follow(labelTerm(is("app", `app-${index}`)), one);
  const unanchored = { source: "k8s", key: "app", operator: "Exists", values: [] } as const;
  sets.follow(peersOf([anywhere(unanchored)], SCOPE).terms[0] as LabelTerm, one);
  assert.equal(sets.size, 3001);
  const before = sets.examined;
  sets.put(identityOf(OWN, 1), workload(OWN, "demo", "app-7"));
  assert.equal(sets.examined - before, 2);
  assert.deepEqual([...one.touched], [identityOf(OWN, 1)]);
  sets.put(identityOf(OWN, 1), workload(OWN, "demo", "app-8"));
  assert.equal(sets.examined - before, 5);
  sets.leave(labelTerm(is("app", "app-9")), one);
  sets.put(identityOf(OWN, 2), workload(OWN, "demo", "app-9"));
  assert.equal(sets.examined - before, 6, "a selector that nobody uses is looked at no more");
});

test("a selector's members are those that match, whichever came first; equal selectors are one", () => {
  const sets = new LabelSets();
  const early = sets.follow(labelTerm(is("app", "web", "db")), follower());
  sets.put(identityOf(OWN, 1), workload(OWN, "demo", "web"));
  sets.put(identityOf(OWN, 2), workload(OWN, "demo", "db"));
  sets.put(identityOf(OWN, 3), workload(OWN, "demo", "ledger"));
  const expected = [identityOf(OWN, 1), identityOf(OWN, 2)];
  assert.deepEqual([...early.members], expected);
  const again = follower();
  assert.equal(sets.follow(labelTerm(is("app", "db", "web", "db")), again), early);
  const late = sets.follow(labelTerm(is("app", "web", "db"), is("io.kubernetes.pod.namespace", "demo")), again);
  assert.deepEqual([...late.members].sort(), expected);
  sets.remove(identityOf(OWN, 1));
  assert.deepEqual([...late.members], [identityOf(OWN, 2)]);
  assert.equal(sets.size, 2);
  sets.leave(labelTerm(is("io.kubernetes.pod.namespace", "demo"), is("app", "db", "web")), again);
  assert.equal(sets.size, 1);
});

test("requirements: sources, and operators on labels that are not there", () => {
  const labels = workload(OWN, "demo", "web");
  const of = (source: string, operator: "In" | "NotIn" | "Exists" | "DoesNotExist", key: string): boolean =>
    matches([{ source, key, operator, values: operator.endsWith("In") ? ["web"] : [] }], labels);
  assert.deepEqual(
    (["In", "NotIn", "Exists", "DoesNotExist"] as const).map((operator) => [
      of("k8s", operator, "app"),
      of("any", operator, "app"),
      of("container", operator, "app"),
      of("k8s", operator, "tier"),
    ]),
    [
      [true, true, false, false],
      [false, false, true, true],
      [true, true, false, false],
      [false, false, true, true],
    ],
  );
});

const parsed = (text: string): Cidr => parseCidr(text) ?? assert.fail(text);
const POOL = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.128.0.0/9"];
const POOL6 = ["::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1/128", "::a01:0/112"];

test("the trie finds what is above and inside, as comparing with all does", () => {
  const some = fc.array(fc.tuple(fc.constantFrom(...POOL, ...POOL6), fc.boolean()), { maxLength: 16 });
  fc.assert(
    fc.property(some, fc.constantFrom(...POOL, ...POOL6), (steps, asked) => {
      const trie = new PrefixTrie<string>();
      const model = new Set<string>();
      for (const [text, put] of steps) {
        if (put) trie.set(parsed(text), text);
        else trie.delete(parsed(text));
        if (put) model.add(text);
        else model.delete(text);
      }
      const contains = (outer: string, inner: string): boolean =>
        parsed(outer).bits <= parsed(inner).bits && cidrContains(parsed(outer), parsed(inner).address);
      assert.equal(trie.get(parsed(asked)), model.has(asked) ? asked : undefined);
      assert.deepEqual([...trie.above(parsed(asked))].sort(), [...model].filter((one) => contains(one, asked)).sort());
      assert.deepEqual([...trie.inside(parsed(asked))].sort(), [...model].filter((one) => contains(asked, one)).sort());
    }),
  );
});

const cidrTerm = (text: string, ...except: readonly string[]): CidrTerm =>
  peersOf([cidr(text, ...except)], SCOPE).terms[0] as CidrTerm;

test("CIDR identities: one each, kept while somebody names it, the same after a restart, used again last", () => {
  const sets = new CidrSets();
  const me = follower();
  const wide = sets.follow(cidrTerm("10.0.0.0/8", "10.1.0.0/16"), me) ?? assert.fail();
  const other = follower();
  sets.follow(cidrTerm("10.1.0.0/16"), other);
  assert.equal(sets.identities.size, 2);
  const narrow = sets.follow(cidrTerm("10.1.2.0/24"), other) ?? assert.fail();
  const [number = 0] = narrow.members;
  assert.equal(wide.members.has(number), false, "it lies in what is excepted");
  sets.leave(cidrTerm("10.1.2.0/24"), other);
  sets.leave(cidrTerm("10.0.0.0/8", "10.1.0.0/16"), me);
  assert.deepEqual([...sets.identities.keys()], ["10.1.0.0/16"]);
  const [next = 0] = sets.follow(cidrTerm("10.9.0.0/16"), me)?.members ?? [];
  assert(next > number);
  const restarted = new CidrSets();
  for (const [text, identity] of sets.identities) restarted.adopt(text, identity);
  const [kept] = restarted.follow(cidrTerm("10.9.0.0/16"), me)?.members ?? [];
  assert.equal(kept, next);
  restarted.forgetAdopted();
  assert.deepEqual([...restarted.identities.keys()], ["10.9.0.0/16"]);
});

test("a CIDR that holds every address of its family has no identity of its own: it means the world too", () => {
  const { terms } = peersOf([cidr("0.0.0.0/0", "10.0.0.0/8")], SCOPE);
  const sets = new CidrSets();
  for (const term of terms) if (term.kind === "cidr") sets.follow(term, follower());
  assert.deepEqual([...sets.identities.keys()], ["10.0.0.0/8"]);
  assert.deepEqual(
    terms.map(({ text }) => text),
    ["0.0.0.0/0 10.0.0.0/8", '["reserved","world-ipv4","In",""]'],
  );
  assert.equal(formatCidr(parsed("0.0.0.0/0")), "0.0.0.0/0");
});

test("the own cluster is added to selectors that mention none, but for those that ask for reserved labels", () => {
  const reserved = { source: "reserved", key: "host", operator: "Exists", values: [] } as const;
  assert.equal(labelTerm(reserved).requirements.length, 1);
  assert.equal(labelTerm(is("app", "web")).requirements.length, 2);
  const [mentioned] = peersOf([anywhere(is("app", "web"))], SCOPE).terms;
  assert(mentioned?.kind === "labels" && mentioned.requirements.length === 1);
  assert.equal(matches(labelTerm().requirements, [label("io.cilium.k8s.policy.cluster", "amsterdam")]), false);
  const beside = peersOf([{ kind: "entity", entity: "all" }, anywhere()], SCOPE);
  assert.deepEqual([beside.anybody, beside.terms.length], [true, 1]);
  assert.deepEqual(peersOf([], SCOPE), { anybody: false, terms: [] });
  assert.deepEqual(peersOf(undefined, SCOPE), { anybody: true, terms: [] });
});

test("rule numbers are stable, never 0, and two rules with one number are both named", () => {
  assert.equal(ruleNumber("CiliumNetworkPolicy/demo/ledger", "ingress[0]"), RULE_NUMBER);
  const names = new RuleNames();
  names.add(7, "b");
  names.add(7, "a");
  assert.equal(names.get(7), "a or b");
  names.remove(7, "a");
  assert.equal(names.get(7), "b");
  names.remove(7, "b");
  assert.equal(names.get(7), undefined);
});
