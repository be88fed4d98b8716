import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrontendValue, encodeServiceKey, encodeServiceValue } from "../../src/maps/service-map.ts";
import { parseAddress } from "../../src/model/address.ts";
import { entryKeyText, entryValueText } from "../../src/report/map-entries.ts";

test("what a value means is said by its key: slot 0 names no backend", () => {
  const address = parseAddress("10.9.0.1") ?? assert.fail();
  const key = (slot: number) => encodeServiceKey({ address, port: 80, slot, protocol: 6 });
  assert.equal(entryKeyText("services", key(3)), "address=10.9.0.1 port=80 slot=3 protocol=6");
  assert.equal(
    entryValueText("services", encodeServiceValue({ backendId: 900, count: 0 }), key(3)),
    "backendId=900 count=0",
  );
  const frontend = (algorithm: "random" | "maglev") =>
    entryValueText("services", encodeFrontendValue({ affinitySeconds: 900, algorithm, count: 1021 }), key(0));
  assert.equal(frontend("maglev"), "affinitySeconds=900 algorithm=maglev count=1021");
  assert.equal(frontend("random"), "affinitySeconds=900 algorithm=random count=1021");
  assert.equal(entryValueText("unheard-of", Uint8Array.of(1, 255), key(0)), "01ff");
});
