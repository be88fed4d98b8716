import assert from "node:assert/strict";
import { test } from "node:test";
import { isEtcdConfig, parseEtcdConfig } from "../../src/wire/etcd-config.ts";

const FULL = `# how to reach bergen
endpoints:
- https://bergen.mesh.example:2379
- https://[2001:db8::7]:2379
trusted-ca-file: /etc/mesh/ca.crt
cert-file: /etc/mesh/client.crt
key-file: '/etc/mesh/client.key'
dial-timeout: 5s
cilium-host-aliases:
- hostname: Bergen.mesh.Example
  ips: ["198.51.100.7", "2001:db8::7"]
`;

test("reads Cilium's file", () => {
  assert.deepEqual(parseEtcdConfig("/etc/mesh/bergen", FULL), {
    ok: true,
    value: {
      endpoints: ["https://bergen.mesh.example:2379", "https://[2001:db8::7]:2379"],
      caFile: "/etc/mesh/ca.crt",
      certFile: "/etc/mesh/client.crt",
      keyFile: "/etc/mesh/client.key",
      hostAliases: [{ hostname: "bergen.mesh.example", ips: ["198.51.100.7", "2001:db8::7"] }],
      ignored: ["dial-timeout"],
    },
  });
  const least = parseEtcdConfig("f", '{"endpoints": ["http://127.0.0.1:2379"]}');
  assert.deepEqual(least, { ok: true, value: { endpoints: ["http://127.0.0.1:2379"], hostAliases: [], ignored: [] } });
});

const REFUSED: readonly (readonly [string, string])[] = [
  ["", "f:1: is empty; it must list endpoints"],
  ["hello", "f:1: must be an object"],
  ["endpoints: []", "f:1: endpoints: must list at least one https://HOST:PORT"],
  [
    "endpoints:\n- https://a:1\n- b:2379",
    'f:3: endpoints[1]: "b:2379" must be http(s)://HOST:PORT, such as https://10.0.0.1:2379',
  ],
  [
    "endpoints:\n- https://a",
    'f:2: endpoints[0]: "https://a" must be http(s)://HOST:PORT, such as https://10.0.0.1:2379',
  ],
  [
    "endpoints:\n- https://a:0",
    'f:2: endpoints[0]: "https://a:0" must be http(s)://HOST:PORT, such as https://10.0.0.1:2379',
  ],
  ["endpoints:\n- https://a:1\n- http://b:1", "f:2: endpoints: must all be https or all be http"],
  ["endpoints: [https://a:1]\ncert-file: c", "f:2: cert-file: needs the other: name both cert-file and key-file"],
  ["endpoints: [https://a:1]\n\nkey-file: c", "f:3: key-file: needs the other: name both cert-file and key-file"],
  [
    "endpoints: [https://a:1]\ninsecure-skip-tls-verify: true",
    "f:2: insecure-skip-tls-verify: is not supported: name the authority in trusted-ca-file",
  ],
  ["endpoints: [https://a:1]\nusername: u", "f:2: username: is not supported: use cert-file and key-file"],
  [
    "endpoints: [https://a:1]\ncilium-host-aliases:\n- hostname: a\n  ips: []",
    "f:4: cilium-host-aliases[0].ips: must list at least one address",
  ],
  [
    "endpoints: [https://a:1]\ncilium-host-aliases:\n- hostname: a\n  ips: [b]",
    "f:4: cilium-host-aliases[0].ips[0]: must be an IP address",
  ],
  [
    "endpoints: [https://a:1]\ncilium-host-aliases:\n- hostname: a\n  ips: [::1]\n- hostname: A\n  ips: [::1]",
    'f:5: cilium-host-aliases[1].hostname: "a" occurs twice; keep one',
  ],
  ["endpoints: [https://a:1]\nendpoints: []", "f:2: bad YAML: Map keys must be unique"],
  ["endpoints: [", "f:1: bad YAML: "],
];

test("refuses in one line: file, line, what, how to mend it", () => {
  for (const [text, line] of REFUSED) {
    const judged = parseEtcdConfig("f", text);
    assert(!judged.ok, text);
    assert.equal(judged.rejection.key, "f");
    if (line.startsWith("f:1: bad YAML")) assert.match(judged.rejection.detail, /^f:1: bad YAML: .+$/);
    else assert.equal(judged.rejection.detail, line);
  }
});

test("an alias bomb and a deep nest are refused, not expanded", () => {
  const bomb = `a: &a [1,1,1,1,1,1,1,1,1]\n${"bcdefghi"
    .split("")
    .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[index]}`).join(",")}]`)
    .join("\n")}`;
  for (const text of [bomb, `endpoints: ${"[".repeat(100_000)}`]) {
    const judged = parseEtcdConfig("f", text);
    assert(!judged.ok);
    assert.match(judged.rejection.detail, /^f:\d+: .+$/);
  }
});

test("tells a config from the certificates beside it", () => {
  for (const text of [FULL, "endpoints: []", '{"endpoints": []}', "  endpoints :\n"])
    assert.equal(isEtcdConfig(text), true);
  for (const text of ["", "-----BEGIN CERTIFICATE-----", "# endpoints: no", "my-endpoints: x"]) {
    assert.equal(isEtcdConfig(text), false, text);
  }
});
