/** Rows that the shipped code does not survive yet, and why. They are left out of the draw unless they are asked for by name; docs/TESTING.md names them. */
export const KNOWN_FAILING: ReadonlyMap<string, string> = new Map();

/** Holes of the shipped code that no single row shows: the checks look away there, and only there. docs/TESTING.md names them. */
export const KNOWN_HOLES = {
  /** A hold of a service is as old as its first shrinking, though what is lost by then may have been lost just now. */
  growingHold: false,
  /** A listing that is not complete ends the holds of what it lacks, and forgets how many backends the cache holds of it. */
  forgottenWeight: false,
  /** What is held because a remote's etcd is another one is forgotten when another process leads, which then believes few losses at once. */
  forgottenHold: false,
  /** A watch is taken up at what was acknowledged, and what was received of a world that is no more stays until an audit. */
  resumedBehind: false,
  /** A mirror that has nothing to write does not notice that its own etcd lost the lock and went back in time. */
  unnoticedReset: false,
} as const;
