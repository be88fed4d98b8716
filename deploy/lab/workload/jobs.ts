/** What a client pod is asked to do and what it answers: one JSON line each way on its control socket. */

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
}

export type Job =
  /** `count` calls, `concurrency` at a time. */
  | { readonly kind: "burst"; readonly target: Target; readonly count: number; readonly concurrency: number }
  /** Calls at a steady pace, however long each takes. */
  | { readonly kind: "stream"; readonly target: Target; readonly perSecond: number; readonly seconds: number };

export interface JobResult {
  readonly calls: number;
  readonly seconds: number;
  /** Answers by who gave them: `cluster/pod`. */
  readonly answers: Readonly<Record<string, number>>;
  /** Failed calls by error code: `ECONNREFUSED`, `timeout`, `closed`, ... */
  readonly failures: Readonly<Record<string, number>>;
  /** Calls that this machine could not even start (no free port): they say nothing of the mesh. */
  readonly unstarted: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** Error codes of a client that ran out of its own means. */
const OUT_OF_MEANS: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EADDRINUSE", "EMFILE", "ENFILE", "ENOBUFS"]);

/** Counts calls. */
export class Tally {
  readonly #answers: Record<string, number> = {};
  readonly #failures: Record<string, number> = {};
  readonly #latenciesMs: number[] = [];
  #unstarted = 0;

  answered(who: string, latencyMs: number): void {
    this.#answers[who] = (this.#answers[who] ?? 0) + 1;
    this.#latenciesMs.push(latencyMs);
  }

  failed(code: string): void {
    if (OUT_OF_MEANS.has(code)) this.#unstarted++;
    else this.#failures[code] = (this.#failures[code] ?? 0) + 1;
  }

  result(seconds: number): JobResult {
    const sorted = this.#latenciesMs.sort((left, right) => left - right);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return {
      calls: sorted.length + totalOf(this.#failures) + this.#unstarted,
      seconds,
      answers: this.#answers,
      failures: this.#failures,
      unstarted: this.#unstarted,
      latencyMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    };
  }
}

export function totalOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Answers by cluster: `amsterdam/hello-1` counts for `amsterdam`. */
export function byCluster(answers: Readonly<Record<string, number>>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [who, count] of Object.entries(answers)) {
    const cluster = who.split("/", 1)[0] ?? who;
    counts.set(cluster, (counts.get(cluster) ?? 0) + count);
  }
  return counts;
}
