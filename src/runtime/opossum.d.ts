/** The part of opossum 10 that Bulkhead uses; the package ships no types. */
declare module "opossum" {
  import type { EventEmitter } from "node:events";

  interface CircuitBreakerOptions {
    name: string;
    timeout: number | false;
    volumeThreshold: number;
    errorThresholdPercentage: number;
    rollingCountTimeout: number;
    rollingCountBuckets: number;
    rollingPercentilesEnabled: boolean;
    resetTimeout: number;
  }

  class CircuitBreaker<T> extends EventEmitter {
    constructor(action: () => Promise<T>, options: CircuitBreakerOptions);
    readonly options: CircuitBreakerOptions;
    readonly opened: boolean;
    readonly halfOpen: boolean;
    fire(): Promise<T>;
    shutdown(): void;
  }
  export = CircuitBreaker;
}
