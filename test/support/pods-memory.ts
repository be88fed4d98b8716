/** A process that follows as many pods as it is told, lists them twice, and prints what its heap retains of them. */
import assert from "node:assert/strict";
import { Reflector } from "../../src/follow/reflector.ts";
import type { KubeApi } from "../../src/kube/door.ts";
import { KubeError } from "../../src/kube/door.ts";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { NATIVE_KINDS } from "../../src/wire/kube-kinds.ts";
import { podBody } from "./kube-objects.ts";

const COUNT = Number(process.argv[2]);
const encoder = new TextEncoder();
let pageBytes = 0;

/** Pods made as they are asked for: a model would keep them in the heap that is measured. */
const api: KubeApi = {
  async list(_path, { limit, continue: token = "0" }) {
    const start = Number(token);
    const end = Math.min(COUNT, start + limit);
    const items = Array.from({ length: end - start }, (_, index) => pod(start + index));
    const metadata = { resourceVersion: "7", ...(end < COUNT && { continue: String(end) }) };
    const bytes = encoder.encode(JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata, items }));
    pageBytes += bytes.length;
    return bytes;
  },
  async create() {
    throw new KubeError("refused", "nothing is made here");
  },
  async watch(_path, _query, _onLine, { signal }) {
    await sleep(systemClock, 60_000, AbortSignal.any([signal, again.signal]));
    if (!signal.aborted) throw new KubeError("expired", "again");
  },
};

/** Of 500 workloads. */
function pod(index: number): unknown {
  const name = `app${index % 500}-${index.toString(36)}`;
  const { metadata, ...rest } = podBody(name, `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
  return { metadata: { ...metadata, uid: `uid-${index}`, resourceVersion: String(1_000_000 + index) }, ...rest };
}

function retained(): number {
  assert.ok(globalThis.gc, "run with --expose-gc");
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

const kind = NATIVE_KINDS.find((one) => one.kind === "Pod");
assert.ok(kind);
const [stop, again] = [new AbortController(), new AbortController()];
const reflector = new Reflector({
  ...{ api, kind, clock: systemClock, random: seededRandom(1), signal: stop.signal, pageSize: 250 },
  ...{ progressTimeoutMs: 180_000, watchSeconds: 300, backoff: { baseMs: 1, capMs: 2 } },
  changed: () => undefined,
  faulted: () => undefined,
});
const before = retained();
const running = reflector.run();
while (reflector.lists < 1) await sleep(systemClock, 10);
const listedBytes = retained() - before;
const firstPages = pageBytes;
again.abort();
while (reflector.lists < 2) await sleep(systemClock, 10);
const againBytes = retained() - before;
const { lists, objects } = reflector;
stop.abort();
await running;
const result = { pods: objects.size, listedBytes, againBytes, pageBytes: firstPages, lists };
process.stdout.write(`${JSON.stringify(result)}\n`);
