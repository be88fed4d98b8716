/** Runs the targets over damaged golden values, damaged keys and random bytes. The same seed does the same thing. */
import { below, type Random, seededRandom } from "../../src/runtime/random.ts";
import { mutate, randomBytes } from "./mutate.ts";
import { TARGETS, type Target } from "./targets.ts";

const MAX_RANDOM_BYTES = 256;
/** Processor time that one input may take: damaged input must not hold up a program that holds a lease. */
const LONGEST_MS = 50;
/** Tries of an input that took longer: what is slow once is the machine's affair (collection of garbage), what is slow each time is the input's. */
const TRIES = 3;

export interface FuzzCount {
  readonly name: string;
  readonly accepted: number;
  readonly rejected: number;
}

/** What a run found: the input is given so that it can be kept as a test. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";

  constructor(target: string, suffix: string, bytes: Uint8Array, cause: unknown) {
    const input = JSON.stringify({ target, suffix, bytes: Buffer.from(bytes).toString("latin1") });
    super(`${String(cause)}\ninput: ${input}`, { cause });
  }
}

function nextInput(
  random: Random,
  { seed, suffix }: Target,
  corpus: readonly Uint8Array[],
): readonly [string, Uint8Array] {
  const kind = below(random, 16);
  if (kind === 0) return [suffix, randomBytes(random, MAX_RANDOM_BYTES)];
  if (kind > 1) return [suffix, mutate(random, seed, corpus)];
  const key = mutate(random, new TextEncoder().encode(suffix), corpus);
  return [new TextDecoder().decode(key), seed];
}

function inTime<T>(action: () => T): T {
  for (let tries = 1; ; tries++) {
    const before = process.cpuUsage();
    const result = action();
    const { user, system } = process.cpuUsage(before);
    if (user + system <= LONGEST_MS * 1000) return result;
    if (tries === TRIES) throw new Error(`took ${(user + system) / 1000} ms`);
  }
}

/** Throws a FuzzFailure at the first input for which something does not hold. */
export function fuzz(target: Target, runs: number, seed: number): FuzzCount {
  const random = seededRandom(seed);
  const corpus = TARGETS.map((other) => other.seed);
  let accepted = 0;
  for (let run = 0; run < runs; run++) {
    const [suffix, bytes] = nextInput(random, target, corpus);
    try {
      if (inTime(() => target.check(suffix, bytes))) accepted++;
    } catch (error) {
      throw new FuzzFailure(target.name, suffix, bytes, error);
    }
  }
  return { name: target.name, accepted, rejected: runs - accepted };
}
