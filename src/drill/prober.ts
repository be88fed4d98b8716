/** Connections at a steady pace to a service that speaks HTTP, counted: each is a new one, made once it is answered. */
import { connect } from "node:net";
import type { ProbeCounts } from "../model/drill.ts";
import { afterRunning, type Clock, sleep } from "../runtime/clock.ts";

/** Above it a lost first packet would not have been sent again. */
const CALL_TIMEOUT_MS = 1_500;
const REPORT_MS = 100;
const REQUEST = "GET / HTTP/1.1\r\nHost: drill\r\nConnection: close\r\n\r\n";

export interface ProbeTarget {
  readonly address: string;
  readonly port: number;
  /** Connections a second. */
  readonly rate: number;
}

/** Resolves once answered; rejects with the failure's code. Ends by reset, so that the port is free again at once. */
function callOnce(clock: Clock, { address, port }: ProbeTarget): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, noDelay: true });
    const finish = (failure?: string): void => {
      timer.cancel();
      socket.resetAndDestroy();
      if (failure === undefined) resolve();
      else reject(new Error(failure));
    };
    const timer = afterRunning(clock, CALL_TIMEOUT_MS, () => finish("timeout"));
    socket.on("connect", () => socket.write(REQUEST));
    socket.once("data", () => finish());
    socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.on("end", () => finish("closed"));
  });
}

/** Tells counts ten times a second until the signal aborts. */
export async function probe(
  clock: Clock,
  target: ProbeTarget,
  signal: AbortSignal,
  tell: (counts: ProbeCounts) => void,
): Promise<void> {
  let [made, failed] = [0, 0];
  let failures: Record<string, number> = {};
  const startMs = clock.nowMs();
  let [begun, toldMs] = [0, startMs];
  const begin = (): void => {
    begun++;
    callOnce(clock, target).then(
      () => made++,
      (error: Error) => {
        failed++;
        failures[error.message] = (failures[error.message] ?? 0) + 1;
      },
    );
  };
  while (!signal.aborted) {
    const nowMs = clock.nowMs();
    while (begun < ((nowMs - startMs) / 1_000) * target.rate) begin();
    if (nowMs - toldMs >= REPORT_MS) {
      tell({ made, failed, failures });
      [made, failed, failures, toldMs] = [0, 0, {}, nowMs];
    }
    await sleep(clock, 1_000 / target.rate, signal);
  }
}
