/** Certificates on the way to a remote: files, dates, names, authorities, and what the server thinks of ours. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { type Authority, EXPIRED, issue, makeAuthority, NOT_YET, type Validity } from "../support/certificates.ts";
import { at, Stage, tls } from "./stage.ts";

let stage: Stage;
let stranger: Authority;
before(async () => {
  stage = await Stage.start();
  stranger = makeAuthority(stage.folder, "stranger");
});
after(() => stage.end());

const server = "IP:127.0.0.1";

/** The file of the secure etcd, with this authority and client. */
function file(ca = stage.authority.ca, client = stage.remote): string {
  return at(stage.secure.endpoint, tls(ca, client));
}

const FILES: readonly (readonly [string, () => string, RegExp])[] = [
  [
    "an authority's file that is not there",
    () => file(`${stage.folder}/none.crt`),
    /FAILED +authority .*none\.crt: .*ENOENT.*\n +mend: make the file readable[\s\S]*ok +TCP .*\n +not run TLS .*, etcd .*: the certificates cannot be used/,
  ],
  [
    "an authority's file that is no certificate",
    () => file(stage.remote.key),
    /FAILED +authority .* is no certificate: .*\n +mend: put a certificate in PEM there/,
  ],
  [
    "an authority that has expired",
    () => file(makeAuthority(stage.folder, "ancient", EXPIRED).ca),
    /FAILED +dates of .*ancient\.crt: expired on .*\n +mend: issue a new certificate/,
  ],
  [
    "a client certificate that is not there",
    () => file(stage.authority.ca, { ...stage.remote, cert: `${stage.folder}/none.crt` }),
    /FAILED +client certificate .*none\.crt.*ENOENT.*\n +mend: make the file readable/,
  ],
  [
    "a key that is none",
    () => file(stage.authority.ca, { ...stage.remote, key: stage.remote.cert }),
    /FAILED +client certificate .*remote\.crt is no private key\n +mend: put the certificate's key in PEM there/,
  ],
  [
    "a key of another certificate",
    () => file(stage.authority.ca, { ...stage.remote, key: stranger.caKey }),
    /FAILED +client certificate .*stranger\.key is not the key of .*remote\.crt\n +mend: put the key of this certificate there/,
  ],
  [
    "an expired client certificate, which the server refuses too",
    () => file(stage.authority.ca, issue(stage.authority, "old", "DNS:old", EXPIRED)),
    /FAILED +dates of .*old\.crt: expired on \S+Z, and here it is \S+Z\n +mend: issue a new certificate[\s\S]*FAILED +TLS .*\n +mend: the server does not take our client certificate/,
  ],
  [
    "a client certificate that is not valid yet",
    () => file(stage.authority.ca, issue(stage.authority, "early", "DNS:early", NOT_YET)),
    /FAILED +dates of .*early\.crt: not valid before \S+Z, and here it is .*\n +mend: set the clock that is wrong/,
  ],
  [
    "a client certificate of an authority that the server does not know",
    () => file(stage.authority.ca, issue(stranger, "foreign", "DNS:foreign")),
    /note +signature of .*foreign\.crt: not signed by .*authority\.crt: fine when[\s\S]*FAILED +TLS .*\n +mend: the server does not take our client certificate: it must be signed by an authority/,
  ],
  [
    "no client certificate where one is wanted",
    () => at(stage.secure.endpoint, `trusted-ca-file: ${stage.authority.ca}\n`),
    /FAILED +TLS .*(?:bad certificate|certificate required)\n +mend: the server wants a client certificate: name cert-file and key-file\n +not run etcd/,
  ],
  [
    "a foreign authority",
    () => file(stranger.ca),
    /FAILED +TLS .*UNABLE_TO_VERIFY_LEAF_SIGNATURE: the server shows CN=server.*\n +mend: trusted-ca-file must be the authority/,
  ],
  [
    "no authority, and the machine knows none for it",
    () => at(stage.secure.endpoint, `cert-file: ${stage.remote.cert}\nkey-file: ${stage.remote.key}\n`),
    /FAILED +TLS .*\n +mend: name the authority that signed it in trusted-ca-file/,
  ],
  [
    "a name that the server does not have",
    () => file().replace("127.0.0.1", "localhost"),
    /FAILED +TLS .*ALTNAME.*: the server shows CN=server.*\n +mend: the server's certificate must name localhost/,
  ],
];

for (const [what, text, expected] of FILES) {
  test(`${what}: the step that fails, and its mend`, async () => {
    assert.match(await stage.report({ osaka: text() }), expected);
  });
}

test("two authorities in one file: the old one may have run out", async () => {
  const old = makeAuthority(stage.folder, "former", EXPIRED).ca;
  const bundle = stage.write(
    "bundle.pem",
    [old, stage.authority.ca].map((path) => readFileSync(path, "utf8")).join(""),
  );
  const text = await stage.report({ osaka: file(bundle) });
  assert.doesNotMatch(text, /FAILED|not run/);
  assert.match(
    text,
    /ok +authority .*: CN=former; CN=authority\n +ok +dates of .*: CN=former expired on .*; CN=authority valid from/,
  );
});

test("a client whose authority lies between", async () => {
  const between = makeAuthority(stage.folder, "between", undefined, stage.authority);
  const leaf = issue(between, "below", "DNS:below");
  const cert = stage.write("chain.pem", [leaf.cert, between.ca].map((path) => readFileSync(path, "utf8")).join(""));
  const text = await stage.report({ osaka: file(stage.authority.ca, { cert, key: leaf.key }) });
  assert.match(text, /note +signature of .*chain\.pem: signed by .*authority\.crt[\s\S]*ok +TLS .*takes ours/);
});

const SERVERS: readonly (readonly [string, Validity, RegExp])[] = [
  ["has expired", EXPIRED, /FAILED +TLS .*: expired on .*\n +mend: the remote must give its etcd a new certificate/],
  ["is not valid yet", NOT_YET, /FAILED +TLS .*: not valid before .*\n +mend: set the clock that is wrong/],
];

for (const [index, [what, validity, expected]] of SERVERS.entries()) {
  test(`a server whose certificate ${what}`, async () => {
    const etcd = await stage.startTls(issue(stage.authority, `server-${index}`, server, validity));
    try {
      assert.match(await stage.report({ osaka: at(etcd.endpoint, tls(stage.authority.ca, stage.remote)) }), expected);
    } finally {
      await etcd.end();
    }
  });
}

test("a server that hangs before it shakes hands", async () => {
  stage.secure.stop();
  try {
    const text = await stage.report({ osaka: file() }, { timeoutMs: 300 });
    assert.match(text, /ok +TCP[\s\S]*FAILED +TLS .*: no answer within 300 ms\n +mend: is it an etcd with TLS/);
  } finally {
    stage.secure.cont();
  }
});
