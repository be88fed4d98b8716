import assert from "node:assert/strict";
import { test } from "node:test";
import { readRemoteFile } from "../../src/access/remote-files.ts";

const GOOD = "endpoints:\n- http://10.0.0.1:2379\n";

function read(name: string, text: string) {
  return readRemoteFile("amsterdam", `/c/${name}`, name, new TextEncoder().encode(text));
}

test("a file named as a cluster with endpoints is a remote; our own is ignored", () => {
  assert.deepEqual(read("osaka", GOOD), { kind: "remote", text: GOOD, allowedCidrs: undefined });
  assert.deepEqual(read("amsterdam", GOOD), { kind: "ignored" });
});

test("certificates and keys beside them are ignored, whatever they are called", () => {
  assert.deepEqual(read("ca.crt", "-----BEGIN CERTIFICATE-----\n"), { kind: "ignored" });
  assert.deepEqual(read("osaka", "-----BEGIN CERTIFICATE-----\n"), { kind: "ignored" });
});

test("a remote's file that cannot be used is refused, not overlooked: empty, bad, or badly named", () => {
  const refused = (named: boolean, line: string) => ({ kind: "refused", named, line });
  assert.deepEqual(read("osaka", ""), refused(true, "/c/osaka:1: is empty; it must list endpoints"));
  assert.deepEqual(
    read("osaka", "endpoints: []"),
    refused(true, "/c/osaka:1: endpoints: must list at least one https://HOST:PORT"),
  );
  const name = "/c/Osaka: a cluster's name may hold only lower-case letters, digits and '-'; rename the file";
  assert.deepEqual(read("Osaka", GOOD), refused(false, name));
});
