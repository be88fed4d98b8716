// Compiles probe.c and says what it holds.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LoadRequest } from "../../src/kernel/door.ts";
import { POLICY_FAMILY } from "../../src/maps/policy-map.ts";
import { struct, u32, u64 } from "../../src/maps/struct.ts";
import { compileBpf } from "./compile.ts";
import type { Stage } from "./stage.ts";

const SOURCE = fileURLToPath(new URL("probe.c", import.meta.url));
const HEADERS = fileURLToPath(new URL("..", import.meta.url));

const key = struct<{ readonly index: number }>("count_key", { index: u32 });
const value = struct<{ readonly packets: bigint }>("count_value", { packets: u64 });
export const event = struct<{ readonly number: bigint; readonly version: number }>(
  "probe_event",
  { number: u64, version: u32 },
  4,
);
export const encodeCountKey = key.encode;
export const decodeCountValue = value.decode;

/** Where the probe counts. */
export const COUNT = { from: 0, to: 10, events: 20, lost: 21 } as const;
export const PROBE_PROGRAMS = { from: "from_probe", to: "to_probe" } as const;

/** What to ask `kernel.load` for: the probe of this version, compiled into the stage's folder. */
export function probeRequest(stage: Stage, version: 1 | 2, more: Partial<LoadRequest> = {}): LoadRequest {
  const objectPath = join(stage.temporary, `probe${version}.o`);
  compileBpf(SOURCE, objectPath, HEADERS, `-DVERSION=${version}`);
  return {
    objectPath,
    pinDirectory: stage.pins,
    layoutVersion: 1,
    layouts: [{ name: "counts", key: key.layout, value: value.layout }],
    families: [POLICY_FAMILY],
    structs: [event.layout],
    rings: ["events"],
    devicePrograms: PROBE_PROGRAMS,
    ...more,
  };
}
