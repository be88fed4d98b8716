/** Hashes that are the same in every program and version: what is made of them is compared between nodes. */

const FNV_OFFSET = 0x811c9dc5;

/** FNV-1a, its bits mixed once more (murmur3), 0 to 2^32 - 1. Another `seed` is another hash. Nobody gains by a collision. */
export function hash32(text: string, seed = FNV_OFFSET): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return mixed32(hash);
}

/** Every bit of the 32 depends on all of them, and no two numbers become the same. */
export function mixed32(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
