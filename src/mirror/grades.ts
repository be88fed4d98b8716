/**
 * Tells the nodes of this cluster how fresh each remote is: all grades in one record, on change and at an interval, so that its silence means
 * something; and beside it a record of each remote for whoever asks. Nothing is leased: what a dead mirror said stays, and ages.
 */
import { prefixEnd } from "../kv/client.ts";
import type { Grade, PeerDetail, RemoteStatus } from "../model/status.ts";
import type { Publisher } from "../publish/publisher.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { PEER_DETAIL_PREFIX, PEER_GRADES_KEY, PEERS_PREFIX, peerDetailKey } from "../wire/keys.ts";
import { encodeGrades, encodePeerDetail, judgeGrades } from "../wire/peers.ts";
import { oneLine } from "../wire/refusal.ts";
import { type InspectOptions, patiently } from "./inspect.ts";
import type { Writing } from "./remote.ts";

export interface GradesOptions extends InspectOptions {
  readonly intervalMs: number;
}

/** How often grades are looked at. */
const LOOK_INTERVAL_MS = 1_000;

/** Resolves once it has begun; goes on until the term ends. Never rejects: what may not be read is not written either. */
export async function tellGrades(
  writing: Writing,
  remotes: () => readonly RemoteStatus[],
  options: GradesOptions,
): Promise<void> {
  const { clock, intervalMs } = options;
  const told = await patiently(writing, options, () => readTold(writing));
  if (told === undefined || writing.signal.aborted) return;
  const teller = new Teller(writing.publisher, clock, intervalMs, told);
  const look = (): void => teller.look(remotes());
  look();
  every(clock, Math.min(LOOK_INTERVAL_MS, intervalMs), writing.signal, look);
}

/** What mirrors before this one wrote. */
interface Told {
  readonly sequence: number;
  /** Remotes of which there is a record. */
  readonly names: ReadonlySet<string>;
}

async function readTold({ local }: Writing): Promise<Told> {
  const { kvs } = await local.range({ key: PEERS_PREFIX, rangeEnd: prefixEnd(PEERS_PREFIX) });
  const written = kvs.find(({ key }) => key === PEER_GRADES_KEY);
  const judged = written && judgeGrades(written.key, written.value);
  const details = kvs.filter(({ key }) => key.startsWith(PEER_DETAIL_PREFIX));
  return {
    sequence: judged?.ok ? judged.value.sequence : 0,
    names: new Set(details.map(({ key }) => key.slice(PEER_DETAIL_PREFIX.length))),
  };
}

class Teller {
  readonly #publisher: Publisher;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #sequence: number;
  #names: ReadonlySet<string>;
  #grades: ReadonlyMap<string, Grade> = new Map();
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(publisher: Publisher, clock: Clock, intervalMs: number, { sequence, names }: Told) {
    this.#publisher = publisher;
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#sequence = sequence;
    this.#names = names;
  }

  /** Writes what is due. */
  look(remotes: readonly RemoteStatus[]): void {
    const isDue = this.#clock.nowMs() - this.#toldAtMs >= this.#intervalMs;
    const isNew = ({ name, grade }: RemoteStatus): boolean => this.#grades.get(name) !== grade;
    const telling = remotes.filter((remote) => isDue || isNew(remote));
    const names = new Set(remotes.map(({ name }) => name));
    const gone = this.#names.difference(names);
    if (!isDue && telling.length + gone.size === 0) return;
    this.#toldAtMs = this.#clock.nowMs();
    this.#names = names;
    this.#tellGrades(remotes);
    const writtenAt = new Date(this.#clock.wallMs()).toISOString();
    for (const remote of telling) this.#tellDetail({ ...remote, writtenAt, sequence: this.#sequence });
    for (const name of gone) this.#publisher.delete(peerDetailKey(name), "bulk");
  }

  /** Never behind what a long listing writes. */
  #tellGrades(remotes: readonly RemoteStatus[]): void {
    this.#grades = new Map(remotes.map(({ name, grade }) => [name, grade]));
    this.#sequence++;
    const record = { sequence: this.#sequence, intervalMs: this.#intervalMs, grades: this.#grades };
    this.#publisher.put(PEER_GRADES_KEY, encodeGrades(record), "live");
  }

  #tellDetail(detail: PeerDetail): void {
    const { ageMs, lastError } = detail;
    const whole = {
      ...detail,
      ...(ageMs !== undefined && { ageMs: Math.round(ageMs) }),
      ...(lastError !== undefined && { lastError: oneLine(lastError) }),
    };
    this.#publisher.put(peerDetailKey(detail.name), encodePeerDetail(whole), "bulk");
  }
}
