/** What NATS' own tool would make: an operator, an account with JetStream, and credentials of its users. */
import { nkeys } from "@nats-io/transport-node";

type Keys = ReturnType<typeof nkeys.createUser>;

const UNLIMITED = { subs: -1, data: -1, payload: -1 };
const STORAGE = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
/** What the system's account has too: it may not have storage. */
const ACCOUNT = { ...UNLIMITED, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };

const coded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JWT about `subject`, signed by `issuer`. */
function jwt(issuer: Keys, subject: Keys, type: string, more: object): string {
  const claims = { jti: type, iat: 1_700_000_000, iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name: type };
  const text = `${coded({ typ: "JWT", alg: "ed25519-nkey" })}.${coded({ ...claims, nats: { ...more, type, version: 2 } })}`;
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}

function credentialsOf(account: Keys): Uint8Array {
  const user = nkeys.createUser();
  const seed = new TextDecoder().decode(user.getSeed());
  const parts = [
    ["NATS USER JWT", jwt(account, user, "user", UNLIMITED)],
    ["USER NKEY SEED", seed],
  ];
  return Buffer.from(
    parts.map(([name, text]) => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`).join("\n"),
  );
}

/** Lines of a server's configuration, credentials that it takes, and credentials of an account that it does not know. */
export function operatorMode() {
  const [operator, account, system] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount()];
  const known = [account, system].map((keys) => {
    const limits = { ...ACCOUNT, ...(keys === account ? STORAGE : {}) };
    return `${keys.getPublicKey()}: ${jwt(operator, keys, "account", { limits })}`;
  });
  const lines = [
    `operator: ${jwt(operator, operator, "operator", {})}`,
    `system_account: ${system.getPublicKey()}`,
    "resolver: MEMORY",
    `resolver_preload: { ${known.join(", ")} }`,
  ];
  const others = credentialsOf(nkeys.createAccount());
  return { config: lines.join("\n"), credentials: credentialsOf(account), others };
}
