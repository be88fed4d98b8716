/** A process that follows the pods of an API server, lists them twice, and prints what its heap retains of them and how high it went. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Reflector } from "../../src/follow/reflector.ts";
import { connectKube } from "../../src/kube/client.ts";
import type { KubeApi } from "../../src/kube/door.ts";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { NATIVE_KINDS } from "../../src/wire/kube-kinds.ts";
import { kubeconfig } from "./kube-api.ts";

const URL = process.argv[2] ?? "";
let pageBytes = 0;
let peakBytes = 0;

async function connected(): Promise<KubeApi> {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-pods-"));
  const config = join(folder, "config");
  writeFileSync(config, kubeconfig(URL));
  const api = await connectKube({ config });
  rmSync(folder, { recursive: true });
  return {
    ...api,
    async list(...asked) {
      const bytes = await api.list(...asked);
      pageBytes += bytes.length;
      sample();
      return bytes;
    },
  };
}

/** Heap and buffers: pages are buffers. */
function inUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function sample(): void {
  peakBytes = Math.max(peakBytes, inUse() - before);
}

function retained(): number {
  assert.ok(globalThis.gc, "run with --expose-gc");
  globalThis.gc();
  globalThis.gc();
  return inUse();
}

const kind = NATIVE_KINDS.find((one) => one.kind === "Pod");
assert.ok(kind);
const stop = new AbortController();
const reflector = new Reflector({
  ...{ api: await connected(), kind, clock: systemClock, random: seededRandom(1), signal: stop.signal, pageSize: 250 },
  ...{ progressTimeoutMs: 180_000, watchSeconds: 300, backoff: { baseMs: 1, capMs: 2 } },
  changed: () => undefined,
  faulted: () => undefined,
});
const before = retained();
const sampler = setInterval(sample, 5);
const running = reflector.run();
while (reflector.lists < 1) await sleep(systemClock, 10);
const listedBytes = retained() - before;
const firstPages = pageBytes;
while (reflector.lists < 2) await sleep(systemClock, 10);
const againBytes = retained() - before;
const { lists, objects } = reflector;
stop.abort();
clearInterval(sampler);
await running;
const result = {
  pods: objects.size,
  listedBytes,
  againBytes,
  peakBytes,
  baseBytes: before,
  pageBytes: firstPages,
  lists,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit();
