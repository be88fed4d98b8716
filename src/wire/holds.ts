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
}

const MAX_BYTES = 16 * 1024;

export function encodeHolds(holds: readonly { kind: string; state: string; keys: number }[]): Uint8Array {
  return encodeGoJson({ holds: holds.map(({ kind, state, keys }) => ({ kind, state, keys })) });
}

/** @param key names the value in a rejection. */
export function judgeHolds(key: string, bytes: Uint8Array): Judged<readonly HoldRecord[]> {
  return judging(key, () => {
    limitBytes(bytes, MAX_BYTES);
    return new Fields(parseJson(bytes)).objects("holds").map((item) => {
      const kind = RESOURCES.find((row) => row.kind === item.text("kind"))?.kind;
      if (kind === undefined) throw item.refusal("kind", "is no kind");
      return { ...judgeHold(item), kind };
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
