/** `bulkhead/v1/holds/<cluster>`: which withdrawals of a remote are held back, and which of them an operator refused to believe. */
import type { Judged } from "../model/resource.ts";
import { Fields } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { judging, limitBytes, Refusal } from "./refusal.ts";
import { RESOURCES, type ResourceKind } from "./resources.ts";

export interface HoldRecord {
  readonly kind: ResourceKind;
  readonly state: "held" | "discarded";
  readonly keys: number;
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
      const state = item.text("state");
      if (kind === undefined) throw new Refusal("malformed", "is no kind", [...item.path, "kind"]);
      if (state !== "held" && state !== "discarded")
        throw new Refusal("malformed", "is no state", [...item.path, "state"]);
      return { kind, state, keys: item.whole("keys", Number.MAX_SAFE_INTEGER) };
    });
  });
}
