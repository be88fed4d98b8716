/** Looks at a program again and again, and says what changed. What could be said at any rate is said at a bounded one. */

import type { DrainStatus } from "../model/drain.ts";
import type { EventDraft } from "../model/event.ts";
import { type HealthStatus, NO_HEALTH } from "../model/health.ts";
import type { RemoteStatus, SetAside } from "../model/status.ts";
import { drainChanges, healthChanges, leaderChange, remoteChanges } from "./changes.ts";

/** What is looked at. */
export interface Seen {
  /** Absent: nobody leads among such programs. */
  readonly leader?: boolean;
  /** Taken only of a leader: others know nothing of them. */
  readonly remotes?: readonly RemoteStatus[];
  /** One for each reason and remote. */
  readonly rejections?: readonly SetAside[];
  /** Of the own cluster: taken only of a leader, for others know what was. */
  readonly drains?: readonly DrainStatus[];
  /** Of an agent: the data paths of its node. */
  readonly health?: HealthStatus;
  /** Problems of the program itself; those of remotes have kinds of their own. */
  readonly problems: readonly string[];
}

/** The same rejection (remote, reason) or problem is told once in that time. */
const AGAIN_MS = 600_000;
/** Problems told at one look. */
const MOST_PROBLEMS = 20;
/** What was told is remembered of that many. */
const MOST_TOLD = 10_000;

export class Observer {
  readonly #program: string;
  #leader = false;
  #remotes: readonly RemoteStatus[] = [];
  #drains: readonly DrainStatus[] = [];
  #health = NO_HEALTH;
  /** By what makes them the same, when they were last told. */
  readonly #told = new Map<string, number>();
  /** Problems that were told and are not over. */
  #problems = new Map<string, string>();

  constructor(program: string) {
    this.#program = program;
  }

  /** What changed since the last look. */
  look(
    { leader = false, remotes, rejections = [], drains = [], health = NO_HEALTH, problems }: Seen,
    nowMs: number,
  ): readonly EventDraft[] {
    const known = leader && remotes ? remotes : this.#remotes;
    const changes = [
      ...leaderChange(this.#program, this.#leader, leader),
      ...remoteChanges(this.#remotes, known),
      ...drainChanges(this.#drains, leader ? drains : this.#drains),
      ...healthChanges(this.#health, health),
      ...rejections.filter(({ remote, reason }) => this.#isNews(`rejection ${remote} ${reason}`, nowMs)).map(rejected),
      ...this.#problemChanges(problems, nowMs),
    ];
    this.#leader = leader;
    this.#remotes = known;
    if (leader) this.#drains = drains;
    this.#health = health;
    return changes;
  }

  #problemChanges(lines: readonly string[], nowMs: number): readonly EventDraft[] {
    const now = new Map(lines.map((line) => [sameness(line), line]));
    const over = [...this.#problems].filter(([key]) => !now.has(key)).map(([, line]) => solved(line));
    const fresh = [...now].filter(([key]) => !this.#problems.has(key) && this.#isNews(`problem ${key}`, nowMs));
    const told = fresh.slice(0, MOST_PROBLEMS);
    const kept = [...this.#problems].filter(([key]) => now.has(key));
    this.#problems = new Map([...kept, ...told]);
    const left = fresh.length - told.length;
    const more = left > 0 ? [problem(`${left} more problems: see its status`)] : [];
    return [...over, ...told.map(([, line]) => problem(line)), ...more];
  }

  #isNews(key: string, nowMs: number): boolean {
    const toldMs = this.#told.get(key);
    if (toldMs !== undefined && nowMs - toldMs < AGAIN_MS) return false;
    this.#told.delete(key);
    this.#told.set(key, nowMs);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MOST_TOLD && oldest !== undefined) this.#told.delete(oldest);
    return true;
  }
}

/** Problems whose lines differ only in the words that are numbers are one: counts and durations. */
function sameness(line: string): string {
  return line.replace(/(?<=^|\s)\d+(?=\s|$)/g, "#");
}

function rejected({ remote, reason, key, detail }: SetAside): EventDraft {
  const line = `${remote}: a value was refused: ${reason}: ${key}: ${detail}`;
  return { kind: "rejection", remote, severity: "warning", line, details: { reason, key, detail } };
}

function problem(line: string): EventDraft {
  return { kind: "problem", severity: "warning", line, details: { solved: false } };
}

function solved(line: string): EventDraft {
  return { kind: "problem", severity: "info", line: `no more: ${line}`, details: { solved: true } };
}
