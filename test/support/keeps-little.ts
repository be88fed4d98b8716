/** How much heap pods need, in a process of its own that follows another one: what is asserted are bytes, never a time. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const SERVER = fileURLToPath(new URL("./pods-server.ts", import.meta.url));
const FOLLOWER = fileURLToPath(new URL("./pods-memory.ts", import.meta.url));
const MAX_BYTES_PER_POD = 1_000;

export interface HeapUse {
  readonly pods: number;
  readonly lists: number;
  /** Of the first list. */
  readonly pageBytes: number;
  /** What the package for access to API servers needs by itself. */
  readonly baseBytes: number;
  /** Above that: retained after the first list and after the second, and the most at any time. */
  readonly listedBytes: number;
  readonly againBytes: number;
  readonly peakBytes: number;
}

function start(file: string, args: readonly string[], flags: readonly string[] = []) {
  return spawn(process.execPath, [...flags, file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
}

/** @param heapMib all that the follower may have; V8 ends it where it needs more. */
async function follow(pods: number, heapMib: number): Promise<HeapUse> {
  const server = start(SERVER, [String(pods)]);
  try {
    const [url] = await once(server.stdout, "data");
    const limits = [`--max-old-space-size=${heapMib}`, "--expose-gc"];
    const follower = start(FOLLOWER, [String(url).trim()], limits);
    const parts: Buffer[] = [];
    follower.stdout.on("data", (part: Buffer) => parts.push(part));
    const [code] = await once(follower, "close");
    assert.equal(code, 0, `${pods} pods do not fit into a heap of ${heapMib} MiB`);
    return JSON.parse(Buffer.concat(parts).toString());
  } finally {
    server.kill("SIGKILL");
  }
}

/** Follows `pods` pods over HTTP, lists them a second time, and looks at the heap meanwhile and after each. */
export async function assertKeepsLittle(pods: number, heapMib: number): Promise<HeapUse> {
  const use = await follow(pods, heapMib);
  assert.equal(use.pods, pods);
  assert.equal(use.lists, 2);
  const perPod = (bytes: number): number => Math.round(bytes / pods);
  assert.ok(perPod(use.pageBytes) > 4_000, `pods of ${perPod(use.pageBytes)} bytes are no load`);
  assert.ok(perPod(use.listedBytes) < MAX_BYTES_PER_POD, `${perPod(use.listedBytes)} bytes a pod after the list`);
  assert.ok(perPod(use.againBytes) < MAX_BYTES_PER_POD, `${perPod(use.againBytes)} bytes a pod after another one`);
  return use;
}
