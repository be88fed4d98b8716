/** Answers `bulkhead maps`: the kernel's maps, read anew, next to what the compilers want. */
import type { KernelMap, KernelMapFamily } from "../../kernel/door.ts";
import type { MapComparison, MapDifference } from "../../model/status.ts";
import { entryKeyText, entryValueText } from "../../report/map-entries.ts";
import { type DesiredMap, type EntryKey, equalBytes, keyBytes } from "../../tables/desired-map.ts";
import { entriesOf } from "./judgement.ts";

interface Compared {
  readonly maps: ReadonlyMap<string, KernelMap>;
  readonly families: ReadonlyMap<string, KernelMapFamily>;
  readonly desired: ReadonlyMap<string, DesiredMap>;
  readonly desiredFamilies: ReadonlyMap<string, ReadonlyMap<number, DesiredMap>>;
}

/** Differences that are listed for a map. */
const LISTED = 200;

export async function compareMaps({ maps, families, desired, desiredFamilies }: Compared): Promise<MapComparison[]> {
  const found: MapComparison[] = [];
  for (const [name, wanted] of desired) found.push(await compare(name, name, maps.get(name), wanted));
  for (const [name, slots] of desiredFamilies) {
    const held = (await families.get(name)?.read()) ?? new Map<number, KernelMap>();
    for (const slot of [...new Set([...held.keys(), ...slots.keys()])].sort((left, right) => left - right)) {
      found.push(await compare(`${name}[${slot}]`, name, held.get(slot), slots.get(slot)));
    }
  }
  return found;
}

interface Difference {
  readonly kernel: Uint8Array | undefined;
  readonly wanted: Uint8Array | undefined;
}

/** @param layout whose entries they are. */
async function compare(
  name: string,
  layout: string,
  map: KernelMap | undefined,
  wanted: DesiredMap | undefined,
): Promise<MapComparison> {
  const first = await differencesOf(map, wanted);
  // What differs only once was being written just then.
  const again = first.found.size === 0 ? first : await differencesOf(map, wanted);
  const lasting = [...again.found].filter(([key]) => first.found.has(key));
  const counted = (is: (difference: Difference) => boolean): number => lasting.filter(([, one]) => is(one)).length;
  return {
    name,
    maxEntries: map?.maxEntries ?? 0,
    held: again.held,
    wanted: wanted?.size ?? 0,
    missing: counted(({ kernel }) => kernel === undefined),
    extra: counted((one) => one.wanted === undefined),
    changed: counted((one) => one.kernel !== undefined && one.wanted !== undefined),
    differences: lasting.slice(0, LISTED).map(([key, difference]) => inWords(layout, key, difference)),
  };
}

function inWords(layout: string, key: EntryKey, { kernel, wanted }: Difference): MapDifference {
  const bytes = keyBytes(key);
  return {
    key: entryKeyText(layout, bytes),
    ...(kernel && { kernel: entryValueText(layout, kernel, bytes) }),
    ...(wanted && { wanted: entryValueText(layout, wanted, bytes) }),
  };
}

async function differencesOf(map: KernelMap | undefined, wanted: DesiredMap | undefined) {
  const kernel = map === undefined ? new Map<EntryKey, Uint8Array>() : entriesOf(await map.dump(), map);
  const found = new Map<EntryKey, Difference>();
  for (const [key, value] of kernel) {
    const should = wanted?.get(key);
    if (!equalBytes(should, value)) found.set(key, { kernel: value, wanted: should });
  }
  for (const [key, should] of wanted?.entries() ?? []) {
    if (!kernel.has(key)) found.set(key, { kernel: undefined, wanted: should });
  }
  return { held: kernel.size, found };
}
