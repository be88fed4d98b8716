import assert from "node:assert/strict";
import { test } from "node:test";
import { completed, type Lock, missingStubs } from "../../deploy/lock.ts";
import { textOf } from "./files.ts";
import { ROOMS } from "./rooms.ts";

type Versions = Readonly<Record<string, string>>;

const manifest = JSON.parse(textOf("package.json")) as Readonly<Record<string, Versions | undefined>>;
const lockText = textOf("package-lock.json");
const lock = JSON.parse(lockText) as Lock & {
  readonly packages: Readonly<Record<string, { readonly integrity?: string; readonly os?: readonly string[] }>>;
};

function inexact(versions: Versions): readonly string[] {
  return Object.entries(versions).flatMap(([name, version]) => (/^\d+\.\d+\.\d+$/.test(version) ? [] : [name]));
}

test("every version in package.json is exact", () => {
  for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
    assert.deepEqual(inexact(manifest[kind] ?? {}), []);
  }
  assert.deepEqual(inexact({ a: "1.2.3", b: "^1.2.3", c: "1.x", d: "latest", e: "1.2" }), ["b", "c", "d", "e"]);
});

test("every dependency has a room", () => {
  const housed = ROOMS.flatMap((room) => room.packages);
  const homeless = Object.keys(manifest["dependencies"] ?? {}).filter((name) => !housed.includes(name));
  assert.deepEqual(homeless, []);
});

test("the lock agrees with package.json, names no registry, and npm ci accepts it", () => {
  assert.doesNotMatch(lockText, /"resolved"/);
  assert.deepEqual(missingStubs(lock), {});
  const root = lock.packages[""] as unknown as Readonly<Record<string, Versions>>;
  for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
    assert.deepEqual(root[kind], manifest[kind]);
  }
});

test("every package of the lock carries its hash, but the stubs of other platforms", () => {
  const unhashed = Object.entries(lock.packages).filter(
    ([path, entry]) => path !== "" && entry.integrity === undefined,
  );
  for (const [path, entry] of unhashed) assert.deepEqual(entry.os, ["!linux"], path);
});

test("a missing optional package becomes a stub, a nested or present one does not", () => {
  const broken: Lock = {
    packages: {
      "": {},
      "node_modules/a": { dev: true, optionalDependencies: { "a-darwin": "1.0.0", "a-linux": "1.0.0", b: "1.0.0" } },
      "node_modules/a-linux": { version: "1.0.0" },
      "node_modules/a/node_modules/b": { version: "1.0.0" },
    },
  };
  const stub = { version: "1.0.0", dev: true, optional: true, os: ["!linux"] };
  assert.deepEqual(missingStubs(broken), { "node_modules/a-darwin": stub });
  assert.deepEqual(missingStubs(completed(broken)), {});
});
