/** I12 of nodes: what an agent calls fresh was proven by some mirror of its cluster, and not long ago. */
import { SILENT_INTERVALS } from "../../../src/ingest/peers.ts";
import { GRADES_INTERVAL_MS, LIMITS } from "../limits.ts";
import { HOLDS_INTERVAL_MS } from "../processes.ts";
import type { Stage } from "../stage.ts";

/** A write that is late in the network, and the look between two samples. */
const LATE_MS = 5_000 + HOLDS_INTERVAL_MS;
/**
 * Since the last proof: the mirror may call it fresh for so long, have said so at an interval's end, and be silent for three more. Much less than until it is
 * stale.
 */
const FRESH_BOUND_MS = LIMITS.suspectAfterMs + (SILENT_INTERVALS + 1) * GRADES_INTERVAL_MS + LATE_MS;

export class Freshness {
  readonly #stage: () => Stage;
  /** `<local> <remote>` -> when a mirror of `local` last had a proof of it. */
  readonly #provenMs = new Map<string, number>();
  #seen = 0;

  constructor(stage: () => Stage) {
    this.#stage = stage;
  }

  /** How often an agent was heard to call a remote fresh. */
  get seen(): number {
    return this.#seen;
  }

  /** Called whenever grades are told: a mirror that ceases to lead a moment later has its proofs no more. */
  noteProofs(): void {
    const { mirrors, world } = this.#stage();
    const nowMs = world.clock.nowMs();
    for (const { own, status } of mirrors.map((mirror) => ({ own: mirror.own, status: mirror.status() }))) {
      for (const { name, ageMs } of status?.remotes ?? []) {
        const key = `${own.name} ${name}`;
        const known = this.#provenMs.get(key) ?? Number.NEGATIVE_INFINITY;
        if (ageMs !== undefined) this.#provenMs.set(key, Math.max(known, nowMs - ageMs));
      }
    }
  }

  /** Notes proofs, then listens to every agent; called often enough to miss no proof by much. */
  look(): void {
    this.noteProofs();
    const { agents, world, trace } = this.#stage();
    const nowMs = world.clock.nowMs();
    for (const agent of agents) {
      for (const { cluster, grade } of agent.peers()?.remotes ?? []) {
        if (grade !== "fresh") continue;
        this.#seen++;
        const sinceMs = nowMs - (this.#provenMs.get(`${agent.own.name} ${cluster}`) ?? Number.NEGATIVE_INFINITY);
        if (sinceMs <= FRESH_BOUND_MS) continue;
        trace.violate("I12", `a node of ${agent.own.name} calls ${cluster} fresh, proven ${sinceMs} ms ago`);
      }
    }
  }

  /** All works again: all is fresh. */
  checkEnd(): void {
    const { agents, trace } = this.#stage();
    for (const agent of agents) {
      const { controlPlane, remotes = [] } = agent.peers() ?? {};
      const bad = remotes.filter(({ grade }) => grade !== "fresh").map(({ cluster, grade }) => `${cluster} ${grade}`);
      if (controlPlane === "talking" && remotes.length === agents.length - 1 && bad.length === 0) continue;
      trace.violate("I1", `a node of ${agent.own.name} hears ${controlPlane}: ${bad.join(", ")}`);
    }
  }
}
