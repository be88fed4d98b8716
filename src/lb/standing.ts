/**
 * The short way for large services. Which clusters a frontend uses depends on which of them have a backend that fits, not on how many. So where
 * single backends come and go, and every cluster that had some still has some, all others stand as they were chosen.
 */
import { MAX_SLOTS } from "../maps/service-map.ts";
import type { Cluster } from "../model/cluster.ts";
import type { AddressPorts, LocalService, OfferedService, ServicePort } from "../model/resource.ts";
import { backendKey, type Candidate } from "./backend.ts";
import { candidates, type Demotions, fitting, type NamedFrontend, type Selection, sameClusters } from "./select.ts";

/** All that a selection is made of. */
export interface Basis {
  readonly own: Cluster;
  readonly frontend: NamedFrontend;
  readonly service: LocalService;
  readonly remotes: readonly OfferedService[];
  /** Of the own cluster, then of the remotes. */
  readonly weights: readonly number[];
  readonly demotions: Demotions;
}

/** Backends that lose their only slot, and those that get one. */
export interface Exchange {
  readonly gone: readonly Candidate[];
  readonly come: readonly Candidate[];
}

/** More of them take the long way, which is not longer then. */
const MOST_TOUCHED = 64;
/** Fewer backends are all looked at in no time, and there are many such services. */
const LEAST_BACKENDS = 4;

export class Standing {
  #basis: Basis;
  readonly #used: ReadonlySet<number>;
  /** By cluster id: its backends that fit. */
  readonly #fitting = new Map<number, number>();

  private constructor(basis: Basis, selection: Selection) {
    this.#basis = basis;
    this.#used = new Set(selection.used.map(({ clusterId }) => clusterId));
    this.#count(selection.fitting, 1);
  }

  /** undefined: slots were given by weight or share, or not to all: every backend's depend on the others. */
  static of(basis: Basis, selection: Selection): Standing | undefined {
    const { slots, used, remarks } = selection;
    const isUndivided = slots === used && remarks.every((remark) => remark === undefined);
    const isPlain =
      isUndivided && basis.service.routing === undefined && used.length <= MAX_SLOTS && used.length >= LEAST_BACKENDS;
    return isPlain ? new Standing(basis, selection) : undefined;
  }

  /** What `basis` changes; undefined: take the long way. */
  exchange(basis: Basis): Exchange | undefined {
    const before = this.#basis;
    const touched = isComparable(before, basis) ? touchedBetween(before, basis) : undefined;
    if (touched === undefined || touched.size > MOST_TOUCHED) return undefined;
    const left = fittingAt(before, touched);
    const found = fittingAt(basis, touched);
    const clusters = new Set([...left, ...found].map(({ clusterId }) => clusterId));
    const had = [...clusters].filter((id) => this.#fitting.get(id));
    this.#count(left, -1);
    this.#count(found, 1);
    const has = [...clusters].filter((id) => this.#fitting.get(id));
    if (had.join() !== has.join() || this.#slots() > MAX_SLOTS) return undefined;
    this.#basis = basis;
    return { gone: this.#usedWithout(left, found), come: this.#usedWithout(found, left) };
  }

  #count(backends: readonly Candidate[], by: number): void {
    for (const { clusterId } of backends) this.#fitting.set(clusterId, (this.#fitting.get(clusterId) ?? 0) + by);
  }

  #slots(): number {
    return [...this.#used].reduce((sum, id) => sum + (this.#fitting.get(id) ?? 0), 0);
  }

  #usedWithout(backends: readonly Candidate[], others: readonly Candidate[]): readonly Candidate[] {
    const known = new Set(others.map(backendKey));
    return backends.filter((backend) => this.#used.has(backend.clusterId) && !known.has(backendKey(backend)));
  }
}

/** Whether they differ in backends only. */
function isComparable(before: Basis, after: Basis): boolean {
  return (
    before.frontend.name === after.frontend.name &&
    before.weights.join() === after.weights.join() &&
    before.remotes.map(({ clusterId }) => clusterId).join() ===
      after.remotes.map(({ clusterId }) => clusterId).join() &&
    before.remotes.every(({ shared }, index) => shared === after.remotes[index]?.shared) &&
    sameClusters(before.demotions, after.demotions) &&
    sameSettings(before.service, after.service)
  );
}

/** All that a service says but its frontends and backends. */
function sameSettings(before: LocalService, after: LocalService): boolean {
  const settings = ({ frontends: _, backends: __, ...said }: LocalService): Readonly<Record<string, unknown>> => said;
  const [left, right] = [settings(before), settings(after)];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => left[name] === right[name]);
}

const offers = ({ service, remotes }: Basis): readonly AddressPorts[] => {
  return [service.backends, ...remotes.map(({ backends }) => backends)];
};

function touchedBetween(before: Basis, after: Basis): ReadonlySet<string> {
  const known = offers(before);
  return new Set(offers(after).flatMap((backends, index) => differing(known[index] ?? new Map(), backends)));
}

/** Both come in the same order but for a few: to walk along them takes half as long as to look all up. */
function differing(before: AddressPorts, after: AddressPorts): readonly string[] {
  if (before === after) return [];
  const found: string[] = [];
  const walk = before.entries();
  let known = walk.next();
  for (const [address, ports] of after) {
    for (; !known.done && known.value[0] !== address && !after.has(known.value[0]); known = walk.next()) {
      found.push(known.value[0]);
    }
    const isNext = !known.done && known.value[0] === address;
    if (!samePorts(isNext ? known.value?.[1] : before.get(address), ports)) found.push(address);
    if (isNext || before.has(address)) known = walk.next();
  }
  for (; !known.done; known = walk.next()) if (!after.has(known.value[0])) found.push(known.value[0]);
  return found;
}

function samePorts(left: readonly ServicePort[] | undefined, right: readonly ServicePort[]): boolean {
  if (left === right) return true;
  if (left?.length !== right.length) return false;
  for (const [index, { name, protocol, port }] of right.entries()) {
    const other = left[index];
    if (other?.name !== name || other.protocol !== protocol || other.port !== port) return false;
  }
  return true;
}

/** What `basis` would choose from if there were these addresses only: the choice between clusters is made for each by itself. */
function fittingAt({ own, frontend, service, remotes }: Basis, addresses: ReadonlySet<string>): readonly Candidate[] {
  const only = <T extends { readonly backends: AddressPorts }>(offer: T): T => {
    const backends = [...addresses].flatMap((address) => {
      const ports = offer.backends.get(address);
      return ports === undefined ? [] : [[address, ports] as const];
    });
    return { ...offer, backends: new Map(backends) };
  };
  return fitting(frontend, candidates(own, only(service), remotes.map(only))).fitting;
}
