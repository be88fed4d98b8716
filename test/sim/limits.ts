/** The mirrors' settings: those of a real one, with shorter times and smaller numbers. Checks know them too: a mutant changes only what the mirror gets. */
import type { MirrorLimits } from "../../src/mirror/remote.ts";

export const TIMEOUT_MS = 1_000;
export const LEASE_TTL_SECONDS = 4;
export const GRADES_INTERVAL_MS = 2_000;

export const LIMITS: MirrorLimits = {
  pageSize: 5,
  maxConcurrentLists: 2,
  maxTxnsInFlight: 16,
  maxRemoteKeys: 10_000,
  maxRemoteBytes: 16 * 1024 * 1024,
  progressIntervalMs: 1_000,
  progressTimeoutMs: 3_000,
  suspectAfterMs: 5_000,
  staleAfterMs: 60_000,
  guardWindowMs: 10_000,
  guardMinWithdrawals: 4,
  guardPercent: 20,
  holdConfirmMs: 15_000,
  auditIntervalMs: 8_000,
  checkpointIntervalMs: 1_000,
  drainGraceMs: 5_000,
  unreadyAfterMs: 30_000,
  heartbeatTimeoutMs: 60_000,
  backoff: { baseMs: 100, capMs: 1_000 },
  redial: { baseMs: 100, capMs: 5_000 },
};

/** An audit begins at most 1.5 intervals after the last one, and needs a joint point, pages and a listing. */
export const AUDIT_BOUND_MS = LIMITS.auditIntervalMs * 1.5 + 8_000;
