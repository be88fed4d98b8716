/** A process that is the API server of as many pods as it is told: they are made as they are asked for. Prints its URL. */
import type { KubeApi } from "../../src/kube/door.ts";
import { KubeError } from "../../src/kube/door.ts";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { KubeServer } from "./kube-api.ts";
import { podBody } from "./kube-objects.ts";

const COUNT = Number(process.argv[2]);
/** Long enough that whoever follows has seen it begin. */
const WATCH_MS = 200;
const encoder = new TextEncoder();

const api: KubeApi = {
  async list(_path, { limit, continue: token = "0" }) {
    const start = Number(token);
    const end = Math.min(COUNT, start + limit);
    const items = Array.from({ length: end - start }, (_, index) => pod(start + index));
    const metadata = { resourceVersion: "7", ...(end < COUNT && { continue: String(end) }) };
    return encoder.encode(JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata, items }));
  },
  async watch(_path, _query, _onLine, { signal }) {
    await sleep(systemClock, WATCH_MS, signal);
    throw new KubeError("expired", "again");
  },
  async create() {
    throw new KubeError("refused", "nothing is made here");
  },
};

/** Of 500 workloads. */
function pod(index: number): unknown {
  const name = `app${index % 500}-${index.toString(36)}`;
  const { metadata, ...rest } = podBody(name, `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
  return { metadata: { ...metadata, uid: `uid-${index}`, resourceVersion: String(1_000_000 + index) }, ...rest };
}

process.stdout.write(`${await new KubeServer({ kube: api }).start()}\n`);
