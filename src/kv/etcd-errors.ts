/** What gRPC and etcd say of a failed call, as a KvError. */
import { messageOf } from "../runtime/user-error.ts";
import { KvError, type KvErrorCode } from "./client.ts";

const GRPC_CODES: Readonly<Record<number, KvErrorCode>> = {
  1: "canceled",
  3: "invalid",
  4: "deadline",
  5: "invalid",
  7: "denied",
  9: "invalid",
  11: "compacted",
  12: "invalid",
  16: "unauthenticated",
};

/** Where the gRPC code says too little. */
const ETCD_MESSAGES: readonly (readonly [string, KvErrorCode])[] = [
  ["database space exceeded", "no-space"],
  ["message larger than max", "too-large"],
  ["request is too large", "too-large"],
  ["requested lease not found", "lease-not-found"],
  ["is a future revision", "future-revision"],
  ["invalid auth token", "unauthenticated"],
  ["user name is empty", "unauthenticated"],
];

/** Codes by which a server refuses before it does anything; after any other, a write may have been or may still be applied. */
const REFUSALS: ReadonlySet<KvErrorCode> = new Set([
  "compacted",
  "future-revision",
  "denied",
  "unauthenticated",
  "no-space",
  "too-large",
  "lease-not-found",
  "invalid",
]);

function codeOf(message: string): KvErrorCode {
  for (const [text, code] of ETCD_MESSAGES) if (message.includes(text)) return code;
  const grpcCode = Number(/^(\d+) /.exec(message)?.[1]);
  return GRPC_CODES[grpcCode] ?? "unavailable";
}

/** What OpenSSL reports when the server sends an alert, and what Node says of a server's certificate; then advice to users of Node. */
const ALERT = /SSL routines:[^:]*:.*?\balert ([a-z ]+)/;
const DISTRUSTED =
  /^(?:certificate |unable to (?:verify|get) |self[- ]signed |Hostname\/IP does not match ).*?(?=; if |$)/;

/** Of a failed TLS handshake: whose certificate it is about, and which line of the config file mends it. */
function tlsMessage(cause: string): string {
  const alert = ALERT.exec(cause)?.[1];
  if (alert !== undefined) {
    if (!/certificate|unknown ca/.test(alert)) return `the server ends the TLS handshake: ${alert}`;
    return `the server refuses our certificate (${alert}): renew cert-file and key-file, or let its etcd trust their authority`;
  }
  const distrusted = DISTRUSTED.exec(cause)?.[0];
  if (distrusted === undefined) return cause;
  const mend = "renew it, or name its authority in trusted-ca-file";
  return `the server's certificate is not trusted (${distrusted}): ${mend}`;
}

/** One line of what went wrong: without gRPC's code, and of a connection that was never made the reason alone. */
export function grpcMessage(error: unknown): string {
  const said = messageOf(error).replace(/\.? Resolution note: ?$/, "");
  const [, cause] = said.split(/Last error: (?:Error: )?/);
  return tlsMessage(cause ?? said.replace(/^\d+ [A-Z_]+: /, ""));
}

/** @param write whether the call changes anything */
export function toKvError(error: unknown, write: boolean): KvError {
  if (error instanceof KvError) return error;
  const code = codeOf(messageOf(error));
  return new KvError(code, grpcMessage(error), write && !REFUSALS.has(code));
}
