import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { ROOT, textOf } from "./files.ts";

// `npm run check` runs biome over the tree; these show that its configuration refuses what the house refuses.
const REFUSED: readonly (readonly [rule: string, text: string])[] = [
  ["noExplicitAny", "export const a = (b: any): void => void b;"],
  ["noDefaultExport", "export default 1;"],
  ["noEnum", "export enum A { B }"],
  ["noBarrelFile", 'export { a } from "./b.ts";'],
  ["noReExportAll", 'export * from "./b.ts";'],
  ["noNamespace", "export namespace A { export const b = 1; }"],
  ["noParameterProperties", "export class A { constructor(readonly b: number) {} }"],
  ["useImportExtensions", 'import { a } from "./f0"; export const c = a;'],
  ["useImportType", 'import { A } from "./b.ts"; export type C = A;'],
  ["useNodejsImportProtocol", 'import fs from "fs"; export const a = fs;'],
  ["noNonNullAssertion", "export const a = (b?: number): number => b!;"],
  ["noFloatingPromises", "async function a(): Promise<void> {}\nexport function b(): void {\n  a();\n}"],
  ["noConsole", "console.log(1);"],
];

/** One biome run over one file per text, in a folder of its own; per file the rules it breaks. */
function rulesBrokenBy(texts: readonly string[]): readonly (readonly string[])[] {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-style-"));
  try {
    const config = JSON.parse(textOf("biome.json")) as Readonly<Record<string, unknown>>;
    writeFileSync(join(folder, "biome.json"), JSON.stringify({ ...config, vcs: { enabled: false } }));
    for (const [index, text] of texts.entries()) writeFileSync(join(folder, `f${index}.ts`), `${text}\n`);
    const options = { cwd: folder, encoding: "utf8" } as const;
    const biome = spawnSync(resolve(ROOT, "node_modules/.bin/biome"), ["lint", "--reporter=github", "."], options);
    const found = [...biome.stdout.matchAll(/^::error title=lint\/\w+\/(\w+),file=(?:\S*\/)?f(\d+)\.ts/gm)];
    return texts.map((_, index) => found.filter((match) => Number(match[2]) === index).map((match) => match[1] ?? ""));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const broken = rulesBrokenBy([...REFUSED.map(([, text]) => text), "export const a = 1;"]);

for (const [index, [rule, text]] of REFUSED.entries()) {
  test(`biome refuses (${rule}): ${text}`, () => assert.ok(broken[index]?.includes(rule), broken[index]?.join(" ")));
}

test("biome passes plain text", () => assert.deepEqual(broken.at(-1), []));
