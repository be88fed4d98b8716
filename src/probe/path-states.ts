/**
 * Damped states of the data paths of one node. A path is dead when every target that ever answered is silent, several rounds in a row; and
 * alive again after several rounds with an answer. Who never answered may be behind a firewall: it proves nothing by its silence. What workloads'
 * connections met counts beside the probes and never for itself: their answers keep a path alive, their silence makes a silent round weigh double.
 */
import type { DataPath } from "../model/health.ts";
import type { TargetKey } from "./targets.ts";
import type { Word } from "./witnesses.ts";

/** What a silent round weighs when connections met silence too. */
const CONFIRMED = 2;

export interface Damping {
  /** Rounds in a row without an answer, until a path is dead. */
  readonly failures: number;
  /** Rounds in a row with one, until it is alive again. */
  readonly successes: number;
  /** More than half of the paths that died within this time: the node suspects itself. */
  readonly selfWindowMs: number;
}

/** What one round found at one cluster: whether each target answered; undefined: this node could not even try. */
export type Round = ReadonlyMap<TargetKey, boolean | undefined>;

interface PathState {
  dataPath: DataPath;
  sinceMs: number;
  /** Rounds in a row against the present state. */
  against: number;
  /** Targets that answered once. */
  proved: Set<TargetKey>;
  answered: number;
}

export type PathView = Readonly<Pick<PathState, "dataPath" | "sinceMs" | "answered" | "against">>;

export class PathStates {
  readonly #damping: Damping;
  readonly #paths = new Map<string, PathState>();
  #suspectsItself = false;

  constructor(damping: Damping) {
    this.#damping = damping;
  }

  /** Of at least two that it lost within the window, as long as most are dead. A node with one remote cannot tell which of them is at fault. */
  get suspectsItself(): boolean {
    return this.#suspectsItself;
  }

  get(cluster: string): PathView | undefined {
    return this.#paths.get(cluster);
  }

  /** Whether this target of the cluster ever answered. */
  isProved(cluster: string, target: TargetKey): boolean {
    return this.#paths.get(cluster)?.proved.has(target) ?? false;
  }

  /** One round over all clusters, those without targets too; clusters that are not in it are forgotten. @param words of connections meanwhile. */
  round(results: ReadonlyMap<string, Round>, nowMs: number, words: ReadonlyMap<string, Word> = new Map()): void {
    for (const cluster of this.#paths.keys()) if (!results.has(cluster)) this.#paths.delete(cluster);
    const taken = [...results].map(([cluster, round]) => {
      return { path: this.#path(cluster, nowMs), round, word: words.get(cluster) ?? "nothing" };
    });
    // Where most are lost in one round this node is to blame: none may be dead before the others.
    const lost = taken.filter(({ path, round, word }) => path.proved.size > 0 && !works(round, word));
    const isMost = lost.length >= 2 && lost.length * 2 > taken.filter(({ path }) => path.proved.size > 0).length;
    for (const { path, round, word } of taken) {
      this.#take(path, round, isMost && word === "silence" ? "nothing" : word, nowMs);
    }
    this.#judgeItself(nowMs);
  }

  #path(cluster: string, nowMs: number): PathState {
    const known = this.#paths.get(cluster);
    if (known !== undefined) return known;
    const path: PathState = { dataPath: "unknown", sinceMs: nowMs, against: 0, proved: new Set(), answered: 0 };
    this.#paths.set(cluster, path);
    return path;
  }

  #take(path: PathState, round: Round, word: Word, nowMs: number): void {
    const answered = [...round].filter(([, answers]) => answers).map(([target]) => target);
    path.answered = answered.length;
    path.proved = new Set([...path.proved].filter((target) => round.has(target))).union(new Set(answered));
    if (path.proved.size === 0) {
      become(path, "unknown", nowMs);
      return;
    }
    const isAlive = works(round, word);
    if (!isAlive && [...path.proved].some((target) => round.get(target) === undefined)) return;
    const found: DataPath = isAlive ? "alive" : "dead";
    const weight = !isAlive && word === "silence" ? CONFIRMED : 1;
    path.against = path.dataPath === found ? 0 : path.against + weight;
    const { failures, successes } = this.#damping;
    const needed = found === "dead" ? failures : path.dataPath === "unknown" ? 1 : successes;
    if (path.against >= needed) become(path, found, nowMs);
  }

  #judgeItself(nowMs: number): void {
    const known = [...this.#paths.values()].filter(({ dataPath }) => dataPath !== "unknown");
    const dead = known.filter(({ dataPath }) => dataPath === "dead");
    const lately = dead.filter(({ sinceMs }) => nowMs - sinceMs <= this.#damping.selfWindowMs);
    if (dead.length * 2 <= known.length) this.#suspectsItself = false;
    else if (lately.length >= 2 && lately.length * 2 > known.length) this.#suspectsItself = true;
  }
}

function works(round: Round, word: Word): boolean {
  return word === "answers" || [...round.values()].includes(true);
}

function become(path: PathState, dataPath: DataPath, nowMs: number): void {
  path.against = 0;
  if (path.dataPath === dataPath) return;
  path.dataPath = dataPath;
  path.sinceMs = nowMs;
}
