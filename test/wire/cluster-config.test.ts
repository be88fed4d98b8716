import assert from "node:assert/strict";
import { test } from "node:test";
import { adaptClusterConfig, judgeClusterConfig, MAX_CONFIG_BYTES } from "../../src/wire/cluster-config.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const REFUSED: readonly (readonly [string, string])[] = [
  ["malformed", ""],
  ["malformed", "[]"],
  ["malformed", '{"id":"3"}'],
  ["malformed", '{"id":3,"capabilities":{"cached":1}}'],
  ["unsupported", "{}"],
  ["unsupported", '{"id":0}'],
  ["unsupported", '{"id":256}'],
  ["unsupported", '{"id":3,"capabilities":{"maxConnectedClusters":511}}'],
  ["unsupported", '{"id":3,"capabilities":{"endpointSlicesExportMode":"some-day"}}'],
  ["duplicate-name", '{"id":3,"id":4}'],
  ["folded-name", '{"id":3,"ID":4}'],
  ["folded-name", '{"id":3,"capabilities":{"Cached":true}}'],
  ["too-large", `{"id":3,"x":"${"x".repeat(MAX_CONFIG_BYTES)}"}`],
];

test("what is refused, and why; both doors agree", () => {
  for (const [reason, text] of REFUSED) {
    for (const judged of [judgeClusterConfig("key", bytes(text)), adaptClusterConfig(bytes(text), "key")]) {
      assert.equal(!judged.ok && judged.rejection.reason, reason, text.slice(0, 80));
      assert.equal(!judged.ok && judged.rejection.key, "key");
    }
  }
});

test("an older writer's config: what it does not say has its zero value", () => {
  const judged = judgeClusterConfig("key", bytes('{"id":9,"capabilities":{}}'));
  const value = { id: 9, syncedCanaries: false, cached: false, maxConnectedClusters: 0, endpointSlicesExportMode: "" };
  assert.deepEqual(judged, { ok: true, value });
});

const ADAPTED: readonly (readonly [string, string])[] = [
  ['{"id":9}', '{"id":9,"capabilities":{"syncedCanaries":true,"cached":true}}'],
  ['{"capabilities":null,"id":9}', '{"id":9,"capabilities":{"syncedCanaries":true,"cached":true}}'],
  [
    '{"new":{"b":[1.50,null],"a":"<"},"capabilities":{"later":1e3,"cached":false,"maxConnectedClusters":255},"id":9,"7":1}',
    '{"id":9,"capabilities":{"syncedCanaries":true,"cached":true,"maxConnectedClusters":255,"later":1e3},"new":{"b":[1.50,null],"a":"\\u003c"},"7":1}',
  ],
];

test("a mirrored config keeps unknown fields and numbers as written", () => {
  for (const [given, expected] of ADAPTED) {
    const adapted = adaptClusterConfig(bytes(given));
    assert(adapted.ok);
    assert.equal(new TextDecoder().decode(adapted.value), expected);
  }
});
