import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { ROOT, textOf } from "./files.ts";
import { ROOMS } from "./rooms.ts";

const config = JSON.parse(textOf("tsconfig.pure.json")) as {
  readonly include: readonly string[];
  readonly compilerOptions: Readonly<Record<string, unknown>>;
};

test("the pure type check covers every pure room, and knows the bare language only", () => {
  const rooms = ROOMS.filter((room) => room.pure).map((room) => `src/${room.name}`);
  assert.deepEqual([...config.include].sort(), ["src/pure-globals.d.ts", ...rooms].sort());
  assert.deepEqual(config.compilerOptions, { lib: ["es2024"], types: [] });
});

/** Type-checks `text` as if it stood in a pure room; returns what the compiler says. */
function checkPure(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-pure-"));
  try {
    const include = [join(folder, "a.ts"), resolve(ROOT, "src/pure-globals.d.ts")];
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ extends: resolve(ROOT, "tsconfig.pure.json"), include }),
    );
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    writeFileSync(join(folder, "a.ts"), `${text}\n`);
    return spawnSync(resolve(ROOT, "node_modules/.bin/tsc"), ["-p", folder], { encoding: "utf8" }).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a pure room sees no timer, process, network, file or asynchronous door", () => {
  const refused = [
    "setTimeout(() => {}, 1);",
    "export const a = process.env;",
    'export const a = fetch("x");',
    "export const a = Buffer.alloc(1);",
    'import { readFileSync } from "node:fs";\nexport const a = readFileSync;',
    'import { randomBytes } from "node:crypto";\nexport const a = randomBytes;',
    'import { gzip } from "node:zlib";\nexport const a = gzip;',
    "console.error(1);",
  ];
  for (const text of refused) assert.match(checkPure(text), /error TS/, text);
});

test("a pure room has text, hashes, assertions and synchronous compression", () => {
  const text = `import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
assert.equal(1, 1);
export const a: string = createHash("sha256").update(new TextEncoder().encode("x")).digest("hex");
export const b: string = new TextDecoder("utf-8", { fatal: true }).decode(gunzipSync(new Uint8Array(0)));`;
  assert.equal(checkPure(text), "");
});
