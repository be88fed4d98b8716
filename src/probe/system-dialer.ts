/** Dials with the sockets of this host. */
import { connect } from "node:net";
import type { Clock } from "../runtime/clock.ts";
import type { Dialer, DialOutcome } from "./dialer.ts";

const REFUSED: ReadonlySet<string | undefined> = new Set(["ECONNREFUSED", "ECONNRESET"]);
/** Nothing comes back, or this node has no route there; the last three are what routes of type blackhole and prohibit, and firewalls, say. */
const SILENT: ReadonlySet<string | undefined> = new Set([
  ...["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
  ...["EINVAL", "EACCES", "EPERM"],
]);

/** What an error of `connect` says of the path. */
export function outcomeOf(code: string | undefined): DialOutcome {
  if (REFUSED.has(code)) return "refused";
  return SILENT.has(code) ? "silent" : "untried";
}

export function systemDialer(clock: Clock): Dialer {
  return {
    dial({ address, port }, timeoutMs, signal) {
      return new Promise((resolve) => {
        if (signal.aborted) return resolve("silent");
        const socket = connect({ host: address, port });
        // A program that was held up sees its timers before what arrived meanwhile.
        const timer = clock.after(timeoutMs, () => void clock.breathe().then(giveUp));
        signal.addEventListener("abort", giveUp, { once: true });
        socket.once("connect", () => end("connected"));
        socket.on("error", (error: NodeJS.ErrnoException) => end(outcomeOf(error.code)));
        function giveUp(): void {
          end("silent");
        }
        function end(outcome: DialOutcome): void {
          timer.cancel();
          signal.removeEventListener("abort", giveUp);
          socket.destroy();
          resolve(outcome);
        }
      });
    },
  };
}
