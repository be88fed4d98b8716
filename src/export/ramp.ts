/** How a weight gets from here to there. Pure. */
import { FULL_WEIGHT, type Ramp } from "../model/drain.ts";

/** So often a weight is written at most. */
export const SHORTEST_STEP_MS = 1_000;

/** In equal steps (the last may be smaller), the first of them one `stepMs` from now. In less than SHORTEST_STEP_MS it is there at once. */
export function rampTo(from: number, target: number, overMs: number): Ramp {
  const distance = Math.abs(target - from);
  const most = Math.min(distance, Math.floor(overMs / SHORTEST_STEP_MS));
  if (most === 0) return { weight: target, target, step: FULL_WEIGHT, stepMs: SHORTEST_STEP_MS };
  const step = Math.ceil(distance / most);
  return { weight: from, target, step, stepMs: Math.floor(overMs / Math.ceil(distance / step)) };
}

export function stepped(ramp: Ramp): Ramp {
  const { weight, target, step } = ramp;
  const next = weight < target ? Math.min(target, weight + step) : Math.max(target, weight - step);
  return { ...ramp, weight: next };
}

export function hasArrived({ weight, target }: Ramp): boolean {
  return weight === target;
}
