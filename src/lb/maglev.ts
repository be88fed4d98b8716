/**
 * Lookup tables (Maglev, Eisenbud and others, 2016): each backend draws slots in an order of its own, and they take turns. So a table depends on names
 * and weights alone, is the same wherever it is made, and changes little where one backend comes or goes. The paper's orders go in steps of one
 * length: backends whose steps are alike get into each other's way, and a few sets move a third of the others' flows. These are as if at random.
 */
import { hash32, mixed32 } from "../model/hash.ts";
import type { LoadBalancing } from "../model/resource.ts";
import { type Candidate, endpointText } from "./backend.ts";
import type { WeightOf } from "./weights.ts";

export interface LoadBalancingOptions {
  /** Of services that do not say. */
  readonly algorithm: LoadBalancing;
  /** Slots of a lookup table. */
  readonly tableSize: number;
}

export const DEFAULT_LOAD_BALANCING: LoadBalancingOptions = { algorithm: "random", tableSize: 1021 };

/** Never to be changed: nodes of two versions must make the same table. */
const SEEDS = { order: 0x811c9dc5, credit: 0x2545f491 } as const;
const ORDER_STEP = 0x9e3779b9;

const STEPS_OF_WEIGHT = 100;

/** A whole number, for tables are compared between nodes: that the order of additions changed a last bit makes no difference. */
function wholeWeight(weight: number): number {
  return Math.max(1, Math.round(Math.fround(weight) * STEPS_OF_WEIGHT));
}

interface Filler {
  readonly backend: Candidate;
  readonly name: string;
  readonly weight: number;
  /** Its next draw comes of it; all 2^32 do in the end. */
  state: number;
  /** A turn costs as much as the strongest one's weight. */
  credit: number;
}

/**
 * The backend of each slot. The order in which they come does not matter, nor does their cluster: addresses are their names. Of more backends than
 * slots some have none.
 * @param weightOf above 0: a backend has slots in proportion.
 */
export function lookupTable(backends: readonly Candidate[], weightOf: WeightOf, size: number): readonly Candidate[] {
  if (backends.length === 0) return [];
  const weights = backends.map((backend) => wholeWeight(weightOf(backend)));
  const most = Math.max(...weights);
  const fillers = backends.map((backend, index) => fillerOf(backend, weights[index] ?? 0, most));
  fillers.sort((left, right) => (left.name < right.name ? -1 : 1));
  const table = new Array<Candidate | undefined>(size);
  for (let filled = 0; filled < size; ) {
    for (const filler of fillers) {
      filler.credit += filler.weight;
      if (filler.credit < most || filled === size) continue;
      filler.credit -= most;
      table[freeSlot(filler, table)] = filler.backend;
      filled++;
    }
  }
  return table as readonly Candidate[];
}

/** The first one in the backend's order. */
function freeSlot(filler: Filler, table: readonly unknown[]): number {
  for (;;) {
    filler.state = (filler.state + ORDER_STEP) | 0;
    const slot = mixed32(filler.state) % table.length;
    if (table[slot] === undefined) return slot;
  }
}

/** Credit at first is by name too: of many that are weak, some come early and some late, not all at once. */
function fillerOf(backend: Candidate, weight: number, most: number): Filler {
  const name = endpointText(backend);
  return { backend, name, weight, state: hash32(name, SEEDS.order), credit: hash32(name, SEEDS.credit) % most };
}

/** Eight hexadecimal digits: equal tables have equal ones. */
export function tableHash(table: readonly Candidate[]): string {
  return hash32(table.map(endpointText).join()).toString(16).padStart(8, "0");
}
