/** The door of probes: one TCP connection, closed at once. */
import type { Target } from "./targets.ts";

/**
 * `connected`, `refused`: something answered at the other end, so the path is alive. `silent`: nothing did in time, or there is no way.
 * `untried`: this node could not ask, for want of ports or files; it says nothing of the path.
 */
export const DIAL_OUTCOMES = ["connected", "refused", "silent", "untried"] as const;
export type DialOutcome = (typeof DIAL_OUTCOMES)[number];

export interface Dialer {
  /** Never rejects; `silent` after `timeoutMs`, and when `signal` aborts. */
  dial(target: Target, timeoutMs: number, signal: AbortSignal): Promise<DialOutcome>;
}
