/** Another version of the product: this one with larger backends and other pins, sources and compiled objects. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileBpf } from "../bpf/test/compile.ts";
import type { AgentVariant } from "../deploy/lab/programs.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../src/maps/objects.ts";
import { ROOT } from "./mesh.ts";

const OBJECTS = "objects";
const CHANGES = [
  ["src/maps/layout.ts", "LAYOUT_VERSION = 1;", "LAYOUT_VERSION = 2;"],
  ["src/maps/backend-map.ts", "clusterId: u8 }, 4)", "clusterId: u8 }, 12)"],
  ["bpf/lib/backend.h", "__u8 pad[4];", "__u8 pad[12];"],
] as const;

/** Builds it in a folder that does not exist yet, and answers how an agent of it is started. */
export function nextVersion(folder: string): AgentVariant {
  mkdirSync(join(folder, OBJECTS), { recursive: true });
  for (const part of ["src", "bpf", "package.json"]) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const [path, old, fresh] of CHANGES) {
    const text = readFileSync(join(folder, path), "utf8");
    assert.ok(text.includes(old), `${path} has no ${old}`);
    writeFileSync(join(folder, path), text.replace(old, fresh));
  }
  for (const { file } of [SOCK_LB_OBJECT, ENDPOINT_OBJECT]) {
    compileBpf(join(folder, "bpf", file.replace(/\.o$/, ".c")), join(folder, OBJECTS, file), join(folder, "bpf"));
  }
  return {
    bulkhead: [process.execPath, join(folder, "src/bulkhead.ts")],
    settings: { objects: join(folder, OBJECTS) },
  };
}
