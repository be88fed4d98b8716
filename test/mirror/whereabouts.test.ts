import assert from "node:assert/strict";
import { test } from "node:test";
import type { AddressRange } from "../../src/mirror/address-set.ts";
import { rangeOfText } from "../../src/mirror/territory.ts";
import { Whereabouts } from "../../src/mirror/whereabouts.ts";

const range = (text: string): AddressRange => rangeOfText(text)[0] as AddressRange;
const near = (whereabouts: Whereabouts, text: string): readonly string[] =>
  [...new Set(whereabouts.near(range(text)))].sort();

test("of two clusters in two blocks only the one is asked whose block it is; what is wider is asked always, and asks all", () => {
  const whereabouts = new Whereabouts();
  whereabouts.add("osaka", range("10.16.1.0/24"));
  whereabouts.add("lima", range("10.17.1.0/24"));
  whereabouts.add("quito", range("fd00:1:2:3::/64"));
  assert.deepEqual(near(whereabouts, "10.16.200.9"), ["osaka"]);
  assert.deepEqual(near(whereabouts, "10.18.0.1"), []);
  assert.deepEqual(near(whereabouts, "fd00:1:2::1"), ["quito"]);
  assert.deepEqual(near(whereabouts, "10.0.0.0/8"), ["lima", "osaka", "quito"]);
  whereabouts.add("wide", range("10.0.0.0/12"));
  assert.deepEqual(near(whereabouts, "10.16.200.9"), ["osaka", "wide"]);
});

test("a cluster is near for as long as one of its ranges is", () => {
  const whereabouts = new Whereabouts();
  for (const text of ["10.16.1.0/24", "10.16.1.0/24", "10.16.2.0/24"]) whereabouts.add("osaka", range(text));
  for (const text of ["10.16.1.0/24", "10.16.2.0/24"]) whereabouts.delete("osaka", range(text));
  assert.deepEqual(near(whereabouts, "10.16.2.1"), ["osaka"]);
  whereabouts.delete("osaka", range("10.16.1.0/24"));
  assert.deepEqual(near(whereabouts, "10.16.2.1"), []);
});
