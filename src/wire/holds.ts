/** `bulkhead/v1/holds/<cluster>`: which withdrawals of a remote are held back, and which of them an operator refused to believe. */
import type { Judged } from "../model/resource.ts";
import type { HoldSummary } from "../model/status.ts";
import { Fields } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { judging, limitBytes } from "./refusal.ts";
import { RESOURCES, type ResourceKind } from "./resources.ts";

export interface HoldRecord extends HoldSummary {
  readonly kind: ResourceKind;
  /** Cache keys that an operator discarded one by one; empty: what is held of the kind is one thing. */
  readonly names: readonly string[];
}

const MAX_BYTES = 64 * 1024;
/** Of one remote: so many of the longest keys still fit. */
export const MAX_DISCARDED_KEYS = 100;

export function encodeHolds(holds: readonly (Omit<HoldRecord, "kind"> & { readonly kind: string })[]): Uint8Array {
  return encodeGoJson({
    holds: holds.map(({ kind, state, keys, names }) => ({ kind, state, keys, ...(names.length > 0 && { names }) })),
  });
}

/** @param key names the value in a rejection. */
export function judgeHolds(key: string, bytes: Uint8Array): Judged<readonly HoldRecord[]> {
  return judging(key, () => {
    limitBytes(bytes, MAX_BYTES);
    return new Fields(parseJson(bytes)).objects("holds").map((item) => {
      const kind = RESOURCES.find((row) => row.kind === item.text("kind"))?.kind;
      if (kind === undefined) throw item.refusal("kind", "is no kind");
      return { ...judgeHold(item), kind, names: item.texts("names") };
    });
  });
}

/** One hold, of keys of a kind or of the remote's configuration. Throws a Refusal. */
export function judgeHold(item: Fields): HoldSummary {
  const [kind, state] = [item.text("kind"), item.text("state")];
  if (kind !== "config" && !RESOURCES.some((row) => row.kind === kind)) throw item.refusal("kind", "is no kind");
  if (state !== "held" && state !== "discarded") throw item.refusal("state", "is no state");
  return { kind, state, keys: item.whole("keys", Number.MAX_SAFE_INTEGER) };
}
