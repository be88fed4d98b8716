/** Traffic that leaves a cluster by weight, or comes back: new connections only. */

export const FULL_WEIGHT = 100;

/** On its way from `weight` to `target`, one `step` every `stepMs`. Arrived when both are equal. */
export interface Ramp {
  /** What part of its usual share of new connections a backend gets, 0 to FULL_WEIGHT. */
  readonly weight: number;
  readonly target: number;
  readonly step: number;
  readonly stepMs: number;
}

/** What a cluster says of itself. What is not named has its full weight. */
export interface Drain {
  /** Of the whole cluster. */
  readonly all?: Ramp;
  /** Of single services, by `namespace/name`. */
  readonly services: ReadonlyMap<string, Ramp>;
}

export const NO_DRAIN: Drain = { services: new Map() };

/** Of a service, by `namespace/name`: the smaller of its own weight and the cluster's. */
export function weightOf({ all, services }: Drain, service: string): number {
  return Math.min(all?.weight ?? FULL_WEIGHT, services.get(service)?.weight ?? FULL_WEIGHT);
}

/** All traffic has left, and is to stay away. */
export function isEmptied({ all }: Drain): boolean {
  return all?.weight === 0 && all.target === 0;
}

/** Not at full weight, or on its way. */
export interface DrainStatus {
  readonly cluster: string;
  /** `namespace/name`; absent: the whole cluster. */
  readonly service?: string;
  readonly weight: number;
  readonly target: number;
}

export function drainStatuses(cluster: string, { all, services }: Drain): readonly DrainStatus[] {
  const whole = all ? [{ cluster, weight: all.weight, target: all.target }] : [];
  return [...whole, ...[...services].map(([service, { weight, target }]) => ({ cluster, service, weight, target }))];
}
