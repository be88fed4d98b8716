/** What `bulkhead troubleshoot` finds on the way to one etcd, step by step. */

/** `note`: worth knowing, no fault. `not-run`: an earlier step failed, so that this one could not be tried. */
export type StepOutcome = "ok" | "failed" | "note" | "not-run";

export interface Step {
  /** Such as `TCP 10.0.0.1:2379`. */
  readonly name: string;
  readonly outcome: StepOutcome;
  /** One line: what was seen. */
  readonly seen: string;
  /** One line: how to mend it; of failed steps. */
  readonly mend?: string;
}

export interface Findings {
  /** The cluster, or `local`. */
  readonly remote: string;
  readonly steps: readonly Step[];
}
