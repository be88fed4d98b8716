/** All that one compiled policy says of one identity: the only place where rules become entries. */

import {
  decodePolicyKey,
  decodePolicyValue,
  encodePolicyKey,
  encodePolicyValue,
  VERDICT_ALLOWED,
  VERDICT_DENIED,
} from "../maps/policy-map.ts";
import { type EntryKey, entryKey, keyBytes } from "../tables/desired-map.ts";
import { EVERYTHING, enclosing, readSpan, type Span, spanOf } from "./spans.ts";

export interface Saying {
  readonly denies: boolean;
  /** Value of an entry. */
  readonly value: Uint8Array;
}

/** What a rule says at some ports. */
export interface Statement {
  readonly saying: Saying;
  readonly spans: readonly Span[];
}

/** Denies come first. */
export type Row = ReadonlyMap<Span, Saying>;

export function saying(denies: boolean, rule: number): Saying {
  return { denies, value: encodePolicyValue({ rule, verdict: denies ? VERDICT_DENIED : VERDICT_ALLOWED }) };
}

/** What no rule says: open directions, and the own host's way in. */
export const ALLOWED_WITHOUT_RULE: Saying = saying(false, 0);

/**
 * The longest prefix decides in the kernel, but a deny must beat every allow: what a wider deny covers is left out.
 * @param statements denies first; of several that say the same of a span, the first one is named.
 */
export function rowOf(statements: readonly Statement[]): Row {
  const row = new Map<Span, Saying>();
  for (const { saying, spans } of statements) {
    for (const span of spans) if (!row.has(span)) row.set(span, saying);
  }
  if (statements[0]?.saying.denies !== true) return row;
  for (const span of [...row.keys()]) if (isCovered(row, span)) row.delete(span);
  return row;
}

function isCovered(row: Row, span: Span): boolean {
  const { prefixLength, protocol, port } = readSpan(span);
  for (const outer of enclosing(prefixLength, protocol, port)) {
    if (outer !== span && row.get(outer)?.denies === true) return true;
  }
  return false;
}

/** The row with a word about everything, unless it has one. */
export function withDefault(row: Row, saying: Saying): Row {
  return row.has(EVERYTHING) ? row : new Map([...row, [EVERYTHING, saying]]);
}

export function keyOf(identity: number, span: Span): EntryKey {
  return entryKey(encodePolicyKey({ identity, ...readSpan(span) }));
}

/** The rows of some identities, as a policy map holds them. */
export function rowsOf(
  entries: Iterable<readonly [EntryKey, Uint8Array]>,
  isWanted: (identity: number) => boolean,
): Map<number, Row> {
  const rows = new Map<number, Map<Span, Saying>>();
  for (const [key, value] of entries) {
    const { identity, prefixLength, protocol, port } = decodePolicyKey(keyBytes(key));
    if (!isWanted(identity)) continue;
    const row = rows.get(identity) ?? new Map<Span, Saying>();
    const denies = decodePolicyValue(value).verdict === VERDICT_DENIED;
    rows.set(identity, row.set(spanOf(prefixLength, protocol, port), { denies, value }));
  }
  return rows;
}
