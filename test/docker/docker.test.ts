import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type DockerEngine, DockerError, type DockerErrorCode } from "../../src/docker/door.ts";
import { connectDocker } from "../../src/docker/engine.ts";
import { faultyDocker } from "../../src/docker/faulty.ts";
import { MemoryDocker } from "../../src/docker/memory.ts";

const LABEL = "bulkhead.cluster=osaka";
const CART = { name: "cart", labels: { "bulkhead.cluster": "osaka" }, address: "10.77.1.5" };
const never = new AbortController().signal;

let folder = "";
let sockets = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-docker-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Serves HTTP on a unix socket, as an engine does, while `use` runs. */
async function served(listener: RequestListener, use: (engine: DockerEngine) => Promise<void>): Promise<void> {
  const socket = join(folder, `${++sockets}.sock`);
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await use(connectDocker(socket));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** The memory engine behind HTTP. */
function speaking(memory: MemoryDocker): RequestListener {
  return (asked, answer) => {
    const url = new URL(asked.url ?? "", "http://docker");
    const filters = JSON.parse(url.searchParams.get("filters") ?? "{}");
    const gone = new AbortController();
    answer.on("close", () => gone.abort());
    if (url.pathname === "/containers/json") {
      assert.equal(url.searchParams.get("all"), "1");
      memory.list(filters.label[0], never).then(
        (bytes) => answer.end(bytes),
        () => answer.destroy(),
      );
    } else {
      assert.equal(url.pathname, "/events");
      assert.ok(filters.event.includes("health_status"));
      answer.flushHeaders();
      let heard = 0;
      memory
        .watch(() => void (heard++ > 0 && answer.write("{}\n")), gone.signal)
        .catch(() => undefined)
        .finally(() => answer.end());
    }
  };
}

async function code(action: Promise<unknown>): Promise<DockerErrorCode> {
  const error = await action.then(
    () => assert.fail("it went through"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof DockerError, String(error));
  return error.code;
}

function namesIn(bytes: Uint8Array): readonly string[] {
  return JSON.parse(new TextDecoder().decode(bytes)).map(({ Names }: { readonly Names: string[] }) => Names[0]);
}

/** Counts, and waits for a count. */
class Counter {
  count = 0;
  readonly #waiting: (() => void)[] = [];

  readonly tick = (): void => {
    this.count++;
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async reaches(least: number): Promise<void> {
    while (this.count < least) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** The same on every body: lists what carries the label, tells changes, says when it is gone. */
async function behaves(engine: DockerEngine, memory: MemoryDocker): Promise<void> {
  memory.put(CART);
  memory.put({ name: "other", labels: { "bulkhead.cluster": "tokyo" }, address: "10.77.2.5" });
  assert.deepEqual(namesIn(await engine.list(LABEL, never)), ["/cart"]);
  const events = new Counter();
  const stop = new AbortController();
  const watching = engine.watch(events.tick, stop.signal);
  await events.reaches(1);
  memory.put({ name: "second", labels: CART.labels });
  await events.reaches(2);
  assert.deepEqual(namesIn(await engine.list(LABEL, never)), ["/cart", "/second"], "stopped ones too");
  stop.abort();
  await watching;
  const again = engine.watch(events.tick, never);
  const refused = code(again);
  await events.reaches(3);
  memory.die();
  assert.match(await refused, /^(unreachable|cut-off)$/);
  assert.match(await code(engine.list(LABEL, never)), /^(unreachable|cut-off)$/);
}

test("the model behaves as the door says", async () => {
  const memory = new MemoryDocker();
  await behaves(memory, memory);
});

test("the real body behaves alike over a unix socket", async () => {
  const memory = new MemoryDocker();
  await served(speaking(memory), (engine) => behaves(engine, memory));
});

test("the faulty body is the other one until it is not", async () => {
  const memory = new MemoryDocker();
  await behaves(faultyDocker(memory, {}), memory);
  memory.revive();
  assert.equal(await code(faultyDocker(memory, { fault: () => "cut-off" }).list(LABEL, never)), "cut-off");
  const silent = faultyDocker(memory, { fault: () => "silent" });
  const stop = new AbortController();
  const asked = code(silent.list(LABEL, stop.signal));
  stop.abort();
  assert.equal(await asked, "unreachable");
});

test("an engine that is not there is unreachable", async () => {
  const engine = connectDocker(join(folder, "none.sock"));
  assert.equal(await code(engine.list(LABEL, never)), "unreachable");
  assert.equal(await code(engine.watch(() => assert.fail("nothing is heard"), never)), "unreachable");
});

test("an answer that says no is refused, and its words are told", async () => {
  const listener: RequestListener = (_, answer) => answer.writeHead(500).end('{"message":"no\u0007"}');
  await served(listener, async (engine) => {
    const error = await engine.list(LABEL, never).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof DockerError);
    assert.equal(error.code, "refused");
    assert.match(error.message, /HTTP 500 .*no\\u0007/);
    assert.equal(await code(engine.watch(() => assert.fail("nothing is heard"), never)), "refused");
  });
});

test("half an answer is none", async () => {
  const listener: RequestListener = (_, answer) => {
    answer.writeHead(200, { "content-length": "100" });
    answer.write("[{}");
    setImmediate(() => answer.destroy());
  };
  await served(listener, async (engine) => assert.equal(await code(engine.list(LABEL, never)), "cut-off"));
});

test("an answer without end is refused at its limit", async () => {
  const part = Buffer.alloc(1024 * 1024, 0x20);
  const listener: RequestListener = (_, answer) => {
    const more = (): void => {
      while (!answer.destroyed && answer.write(part));
      answer.once("drain", more);
    };
    more();
  };
  await served(listener, async (engine) => assert.equal(await code(engine.list(LABEL, never)), "too-large"));
});

test("a list that is not wanted any more ends", async () => {
  const stop = new AbortController();
  const listener: RequestListener = () => setImmediate(() => stop.abort());
  await served(listener, async (engine) => assert.equal(await code(engine.list(LABEL, stop.signal)), "unreachable"));
});
