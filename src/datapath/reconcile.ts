/** Makes the kernel agree: walks the steps and writes only what differs. */
import { POLICY_FAMILY } from "../maps/policy-map.ts";
import type { EntryKey } from "../tables/desired-map.ts";
import { endpointSoundness, slotsInUse, slotsMovedInto } from "./endpoint-soundness.ts";
import type { MirroredMap } from "./mirrored-map.ts";
import { allMirrors, type Mirrors } from "./mirrors.ts";
import { serviceSoundness } from "./service-soundness.ts";
import { CHAINS, type FamilyStep, type MapStep, type Step } from "./steps.ts";

type Filter = (key: EntryKey) => boolean;

/**
 * @param clusterId of the own cluster.
 * @param readers resolves when programs that were running are done. Returns what failed: empty when kernel and compilers agree.
 */
export async function reconcile(
  mirrors: Mirrors,
  clusterId: number,
  readers: () => Promise<void>,
): Promise<readonly unknown[]> {
  for (const mirror of allMirrors(mirrors)) mirror.collect();
  mirrors.families.get(POLICY_FAMILY.name)?.movedInto(slotsMovedInto(mirrors));
  const failures: unknown[] = [];
  for (const chain of CHAINS) failures.push(...(await new Walk(mirrors, clusterId, readers).through(chain)));
  if (failures.length === 0) for (const mirror of allMirrors(mirrors)) mirror.settle();
  return failures;
}

/**
 * One entry that does not fit must not hold up the others. So after a failure, such as a full map, the walk goes on with what is sound without
 * that which failed: entries that exist are overwritten, and what no program can reach is removed and makes room for the next try.
 */
class Walk {
  readonly #mirrors: Mirrors;
  readonly #clusterId: number;
  readonly #readers: () => Promise<void>;
  readonly #failures: unknown[] = [];

  constructor(mirrors: Mirrors, clusterId: number, readers: () => Promise<void>) {
    this.#mirrors = mirrors;
    this.#clusterId = clusterId;
    this.#readers = readers;
  }

  async through(chain: readonly Step[]): Promise<readonly unknown[]> {
    try {
      for (const step of chain) await ("family" in step ? this.#familyStep(step) : this.#mapStep(step));
    } catch (error) {
      this.#failures.push(error);
    }
    return this.#failures;
  }

  async #mapStep(step: MapStep): Promise<void> {
    const map = this.#mirrors.maps.get(step.map);
    if (map === undefined) return;
    const done = await this.#write(step, map, this.#failures.length === 0 ? () => true : this.#soundness(step));
    if (done || step.verb === "remove") return;
    const sound = this.#soundness(step);
    await this.#write(step, map, (key) => map.get(key) !== undefined && sound(key));
  }

  async #write(step: MapStep, map: MirroredMap, only: Filter): Promise<boolean> {
    const keys = map.differing(step.verb).filter((key) => (step.takes?.(key) ?? true) && only(key));
    if (keys.length === 0) return true;
    if (step.afterReaders) await this.#readers();
    const failed = await map[step.verb](this.#ownFirst(step, map, keys)).catch((error: unknown) =>
      this.#failures.push(error),
    );
    await map.refresh();
    return failed === undefined;
  }

  #ownFirst({ clusterOf }: MapStep, map: MirroredMap, keys: readonly EntryKey[]): readonly EntryKey[] {
    if (clusterOf === undefined) return keys;
    const isOwn = (key: EntryKey): boolean => clusterOf(map.desired(key) as Uint8Array) === this.#clusterId;
    const own: EntryKey[] = [];
    const others: EntryKey[] = [];
    for (const key of keys) (isOwn(key) ? own : others).push(key);
    return own.length === 0 ? others : [...own, ...others];
  }

  /** A slot goes only when no endpoint names it, even if writing the endpoints failed. */
  async #familyStep({ family: name, verb, afterReaders }: FamilyStep): Promise<void> {
    const family = this.#mirrors.families.get(name);
    if (family === undefined) return;
    const inUse = verb === "remove" ? slotsInUse(this.#mirrors) : new Set<number>();
    const slots = family.pending(verb).filter((slot) => !inUse.has(slot));
    if (slots.length === 0) return;
    if (afterReaders) await this.#readers();
    await family.apply(verb, slots).catch((error: unknown) => this.#failures.push(error));
    await family.refresh();
  }

  #soundness(step: MapStep): Filter {
    const services = serviceSoundness(step, this.#mirrors.maps);
    const endpoints = endpointSoundness(step, this.#mirrors);
    return (key) => services(key) && endpoints(key);
  }
}
