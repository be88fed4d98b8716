/** Everything in the kernel that we keep in step, by name. */
import type { MirroredFamily } from "./mirrored-family.ts";
import type { MirroredMap } from "./mirrored-map.ts";

export interface Mirrors {
  readonly maps: ReadonlyMap<string, MirroredMap>;
  readonly families: ReadonlyMap<string, MirroredFamily>;
}

export function allMirrors({ maps, families }: Mirrors): readonly (MirroredMap | MirroredFamily)[] {
  return [...maps.values(), ...families.values()];
}
