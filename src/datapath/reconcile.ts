/** Makes the kernel agree: walks the steps and writes only what differs. */
import { POLICY_FAMILY } from "../maps/policy-map.ts";
import type { EntryKey } from "../tables/desired-map.ts";
import { endpointSoundness, slotsInUse, slotsMovedInto } from "./endpoint-soundness.ts";
import type { MirroredMap } from "./mirrored-map.ts";
import { allMirrors, type Mirrors } from "./mirrors.ts";
import { serviceSoundness } from "./service-soundness.ts";
import { CHAINS, type FamilyStep, type MapStep, type Step } from "./steps.ts";
import type { Usage } from "./usage.ts";

type Filter = (key: EntryKey) => boolean;

export interface Surroundings {
  /** Of the own cluster. */
  readonly clusterId: number;
  /** Resolves when programs that were running are done. */
  readonly readers: () => Promise<void>;
  /** What is in use now. */
  readonly usage: () => Promise<Usage>;
}

/** Returns what failed: empty when kernel and compilers agree. */
export async function reconcile(mirrors: Mirrors, surroundings: Surroundings): Promise<readonly unknown[]> {
  for (const mirror of allMirrors(mirrors)) mirror.collect();
  mirrors.families.get(POLICY_FAMILY.name)?.movedInto(slotsMovedInto(mirrors));
  const failures: unknown[] = [];
  for (const chain of CHAINS) failures.push(...(await new Walk(mirrors, surroundings).through(chain)));
  return failures;
}

/**
 * One entry that does not fit must not hold up the others. So after a failure, such as a full map, the walk goes on with what is sound without
 * that which failed: entries that exist are overwritten, and what no program can reach is removed and makes room for the next try.
 */
class Walk {
  readonly #mirrors: Mirrors;
  readonly #surroundings: Surroundings;
  readonly #failures: unknown[] = [];

  constructor(mirrors: Mirrors, surroundings: Surroundings) {
    this.#mirrors = mirrors;
    this.#surroundings = surroundings;
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
    if (step.afterReaders) await this.#surroundings.readers();
    const write = async (): Promise<void> => map[step.verb](await this.#inOrder(step, map, keys));
    const failed = await write().catch((error: unknown) => this.#failures.push(error));
    await map.refresh();
    return failed === undefined;
  }

  /** Where there is no room for all: the own cluster's first, then what is in use, then the rest. */
  async #inOrder({ verb, map: name, clusterOf }: MapStep, map: MirroredMap, keys: readonly EntryKey[]) {
    if (verb === "remove" || map.hasRoomFor(keys)) return keys;
    const { clusterId, usage } = this.#surroundings;
    // Maps that cannot be read rank nothing; those that are written are the matter.
    const isUsed = await usage().catch((): Usage => () => false);
    const rank = (key: EntryKey): number => {
      if (clusterOf?.(map.desired(key) as Uint8Array) === clusterId) return 0;
      return isUsed(name, key) ? 1 : 2;
    };
    const ranked = Map.groupBy(keys, rank);
    return [0, 1, 2].flatMap((one) => ranked.get(one) ?? []);
  }

  /** A slot goes only when no endpoint names it, even if writing the endpoints failed. */
  async #familyStep({ family: name, verb, afterReaders }: FamilyStep): Promise<void> {
    const family = this.#mirrors.families.get(name);
    if (family === undefined) return;
    const inUse = verb === "remove" ? slotsInUse(this.#mirrors) : new Set<number>();
    const slots = family.pending(verb).filter((slot) => !inUse.has(slot));
    if (slots.length === 0) return;
    if (afterReaders) await this.#surroundings.readers();
    await family.apply(verb, slots).catch((error: unknown) => this.#failures.push(error));
    await family.refresh();
  }

  #soundness(step: MapStep): Filter {
    const services = serviceSoundness(step, this.#mirrors.maps);
    const endpoints = endpointSoundness(step, this.#mirrors);
    return (key) => services(key) && endpoints(key);
  }
}
