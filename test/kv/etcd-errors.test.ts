import assert from "node:assert/strict";
import { test } from "node:test";
import { toKvError } from "../../src/kv/etcd-errors.ts";

const SAID = [
  [
    "14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: ",
    "unavailable",
    "connect ECONNREFUSED 10.0.0.1:2379",
  ],
  ["4 DEADLINE_EXCEEDED: Deadline exceeded after 2.001s", "deadline", "Deadline exceeded after 2.001s"],
  [
    "8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded",
    "no-space",
    "etcdserver: mvcc: database space exceeded",
  ],
  ["etcdserver: something new", "unavailable", "etcdserver: something new"],
] as const;

test("a failed call becomes a code, and one line that a person can use", () => {
  for (const [said, code, line] of SAID) {
    const error = toKvError(new Error(said), true);
    assert.deepEqual([error.code, error.message], [code, line]);
  }
});

const UNTRUSTED = (why: string): string =>
  `the server's certificate is not trusted (${why}): renew it, or name its authority in trusted-ca-file`;
const REFUSED = (alert: string): string =>
  `the server refuses our certificate (${alert}): renew cert-file and key-file, or let its etcd trust their authority`;

test("a failed TLS handshake says whose certificate does not fit, without OpenSSL's own words around it", () => {
  const openssl = (alert: string): string =>
    `40CDF3DCD57F0000:error:0A000412:SSL routines:ssl3_read_bytes:${alert}:../deps/openssl/rec_layer_s3.c:918:SSL alert number 42`;
  for (const [cause, line] of [
    ["certificate has expired", UNTRUSTED("certificate has expired")],
    [
      "unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca",
      UNTRUSTED("unable to verify the first certificate"),
    ],
    ["self-signed certificate in certificate chain", UNTRUSTED("self-signed certificate in certificate chain")],
    [
      "Hostname/IP does not match certificate's altnames: IP: 10.0.0.1 is not in the cert's list: 10.0.0.2",
      UNTRUSTED("Hostname/IP does not match certificate's altnames: IP: 10.0.0.1 is not in the cert's list: 10.0.0.2"),
    ],
    [openssl("ssl/tls alert bad certificate"), REFUSED("bad certificate")],
    [openssl("tlsv1 alert unknown ca"), REFUSED("unknown ca")],
    [openssl("tlsv1 alert internal error"), "the server ends the TLS handshake: internal error"],
    ["read ECONNRESET", "read ECONNRESET"],
  ] as const) {
    const said = `14 UNAVAILABLE: No connection established. Last error: Error: ${cause}. Resolution note: `;
    const error = toKvError(new Error(said), false);
    assert.deepEqual([error.code, error.message], ["unavailable", line]);
  }
});

test("a write counts as undone only when the server refused it for certain", () => {
  const unknown = SAID.map(([said]) => toKvError(new Error(said), true).outcomeUnknown);
  assert.deepEqual(unknown, [true, true, false, true]);
  assert.equal(toKvError(new Error(SAID[0][0]), false).outcomeUnknown, false);
});
