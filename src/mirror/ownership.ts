/** What the mirror asks about whose addresses a value speaks of. */
import type { ResourceKind, ResourceValue } from "../wire/resources.ts";

export type Verdict =
  | { readonly kind: "accepted" }
  | { readonly kind: "rejected"; readonly reason: string; readonly detail: string }
  /** It may become right when the remote's nodes change. */
  | { readonly kind: "parked" };

/** Of one remote. */
export interface Ownership {
  judge(kind: ResourceKind, value: ResourceValue): Verdict;
  /**
   * A value of these kinds counts from now on, or does not any more. `suffix` is its key below the prefix. Returns whether what waits for the
   * remote's nodes may be judged otherwise now.
   */
  came(kind: ResourceKind, suffix: string, value: ResourceValue): boolean;
  gone(kind: ResourceKind, suffix: string): void;
  /** Of a kind nothing but these counts. */
  only(kind: ResourceKind, suffixes: ReadonlySet<string>): void;
}
