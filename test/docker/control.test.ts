import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import type { ContainerAction, DockerControl } from "../../src/docker/control.ts";
import { DockerError } from "../../src/docker/door.ts";
import { connectControl } from "../../src/docker/engine-control.ts";
import { MemoryDocker } from "../../src/docker/memory.ts";
import { frame } from "./frame.ts";

const LABEL = "job=etcd";
const never = new AbortController().signal;
const NFT = ["nft", "list"];

let folder = "";
let sockets = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-control-"));
});
after(() => rm(folder, { recursive: true, force: true }));

interface Command {
  readonly id: string;
  readonly argv: readonly string[];
  readonly beside: boolean;
  /** Of one that goes on until it is killed. */
  readonly label?: string;
  code: number;
  /** Once it has an end. */
  readonly ended: PromiseWithResolvers<void>;
}

interface HelperWanted {
  readonly Image: string;
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly HostConfig: {
    readonly NetworkMode: string;
    readonly CapDrop: readonly string[];
    readonly CapAdd: readonly string[];
    readonly AutoRemove: boolean;
  };
}

/** The memory engine behind the HTTP that engines speak. */
class Speaking {
  readonly #memory: MemoryDocker;
  readonly #commands: Command[] = [];
  readonly server: Server;

  constructor(memory: MemoryDocker) {
    this.#memory = memory;
    this.server = createServer((asked, answer) => void this.#answer(asked, answer));
    this.server.on("upgrade", (asked, stream) => {
      const run = this.#commands[Number(/^\/\w+\/h?(\d+)\/(start|attach)/.exec(asked.url ?? "")?.[1])];
      stream.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      void this.#write(run ?? assert.fail(), stream);
    });
  }

  async #write(run: Command, stream: Duplex): Promise<void> {
    try {
      if (run.beside) await this.#memory.beside(run.id, run.argv);
      else
        for await (const line of this.#memory.inside(run.id, run.argv, never)) stream.write(frame("out", `${line}\n`));
    } catch (error) {
      run.code = 1;
      stream.write(frame("error", `${(error as Error).message}\n`));
    }
    run.ended.resolve();
    // One that waits for its standard input ends with it.
    if (run.argv[0] === "waits") stream.on("end", () => stream.end()).resume();
    else stream.end();
  }

  async #answer(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const [, kind, id = "", action] = new URL(asked.url ?? "", "http://docker").pathname.split("/");
    const body = await textOf(asked);
    const run = this.#commands[Number(id.replace("h", ""))];
    const json = (status: number, value: unknown): unknown => answer.writeHead(status).end(JSON.stringify(value));
    try {
      if (id === "json") answer.end(await this.#memory.list(labelIn(asked), never));
      else if (kind === "exec") json(200, { ExitCode: run?.code });
      else if (action === "exec") json(201, { Id: `${this.#made(id, JSON.parse(body).Cmd, false)}` });
      else if (id === "create") json(201, { Id: `h${this.#created(JSON.parse(body))}` });
      else if (action === "json") json(200, { Image: "sha256:1" });
      else if (action === "wait") {
        await run?.ended.promise;
        json(200, { StatusCode: run?.code });
      } else {
        assert.equal(body, "", "an engine refuses a start with a body");
        assert.equal(asked.method, "POST");
        if (!id.startsWith("h")) await this.#memory.act(id, action as ContainerAction);
        else if (run?.label) await this.#memory.leaveBeside(run.id, run.argv, run.label);
        answer.writeHead(204).end();
      }
    } catch (error) {
      json(409, { message: (error as Error).message });
    }
  }

  #created(wanted: HelperWanted): number {
    const { Image, User, Entrypoint, Labels, HostConfig } = wanted;
    const { NetworkMode, CapDrop, CapAdd, AutoRemove } = HostConfig;
    assert.deepEqual([Image, User, CapDrop, CapAdd, AutoRemove], ["sha256:1", "0", ["ALL"], ["NET_ADMIN"], true]);
    const [label] = Object.entries(Labels ?? {}).map((pair) => pair.join("="));
    return this.#made(NetworkMode.replace("container:", ""), Entrypoint, true, label);
  }

  #made(id: string, argv: readonly string[], beside: boolean, label?: string): number {
    const command = { id, argv, beside, ...(label && { label }), code: 0, ended: Promise.withResolvers<void>() };
    return this.#commands.push(command) - 1;
  }
}

/** What a list asks for. */
function labelIn({ url = "" }: IncomingMessage): string {
  const filters = new URL(url, "http://docker").searchParams.get("filters") ?? "{}";
  return (JSON.parse(filters) as { readonly label: readonly string[] }).label[0] ?? assert.fail();
}

async function textOf(asked: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of asked) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function served(memory: MemoryDocker, use: (engine: DockerControl) => Promise<void>): Promise<void> {
  const socket = join(folder, `${++sockets}.sock`);
  const { server } = new Speaking(memory);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await use(connectControl(socket));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function only(engine: DockerControl): Promise<{ readonly Id: string; readonly State: string }> {
  return JSON.parse(new TextDecoder().decode(await engine.list(LABEL, never)))[0];
}

async function linesOf(lines: AsyncIterable<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

const refused = (line: RegExp) => (error: unknown) => {
  assert.ok(error instanceof DockerError, String(error));
  assert.equal(error.code, "refused");
  assert.match(error.message, line);
  return true;
};

/** The same on every body. */
async function behaves(engine: DockerControl, memory: MemoryDocker): Promise<void> {
  memory.put({ name: "etcd", labels: { job: "etcd" }, address: "10.77.1.5" });
  const { Id: id } = await only(engine);
  for (const [action, state] of [
    ["pause", "paused"],
    ["unpause", "running"],
    ["kill", "exited"],
    ["start", "running"],
    ["stop", "exited"],
    ["start", "running"],
    ["start", "running"],
  ] as const) {
    await engine.act(id, action, never);
    assert.equal((await only(engine)).State, state, action);
  }
  await assert.rejects(engine.act(id, "unpause", never), refused(/HTTP 409 .*etcd is running/));
  await assert.rejects(engine.act("f".repeat(12), "kill", never), refused(/no container f{12}/));
  const seen: unknown[] = [];
  memory.writes = (where, name, argv) => {
    seen.push([where, name, argv]);
    return ["one", "two"];
  };
  assert.deepEqual(await linesOf(engine.inside(id, NFT, never)), ["one", "two"]);
  await engine.beside(id, NFT, never);
  assert.deepEqual(seen.splice(0), [
    ["inside", "etcd", NFT],
    ["beside", "etcd", NFT],
  ]);
  const helper = async () => JSON.parse(new TextDecoder().decode(await engine.list("drill=it", never)))[0]?.Id;
  await engine.leaveBeside(id, NFT, "drill=it", never);
  assert.deepEqual(seen.splice(0), [["beside", "etcd", NFT]]);
  await engine.act(await helper(), "kill", never);
  assert.equal(await helper(), undefined, "gone when it is killed");
  memory.writes = () => new DockerError("refused", "Error: no such device");
  await assert.rejects(linesOf(engine.inside(id, NFT, never)), refused(/no such device$/));
  await assert.rejects(engine.beside(id, NFT, never), refused(/no such device$/));
}

test("the model does to containers what the door says", async () => {
  const memory = new MemoryDocker();
  await behaves(memory, memory);
});

test("the real body does alike over a unix socket", async () => {
  const memory = new MemoryDocker();
  await served(memory, (engine) => behaves(engine, memory));
});

test("a command that nobody wants any more ends, and says nothing of it", async () => {
  const memory = new MemoryDocker();
  memory.put({ name: "etcd", labels: { job: "etcd" }, address: "10.77.1.5" });
  memory.writes = () => ["first"];
  await served(memory, async (engine) => {
    const stop = new AbortController();
    const heard: string[] = [];
    const { Id: id } = await only(engine);
    for await (const line of engine.inside(id, ["waits"], stop.signal)) {
      heard.push(line);
      stop.abort();
    }
    assert.deepEqual(heard, ["first"]);
  });
});

test("an engine that is not there is unreachable", async () => {
  const engine = connectControl(join(folder, "none.sock"));
  for (const work of [
    () => engine.act("1", "kill", never),
    () => linesOf(engine.inside("1", NFT, never)),
    () => engine.beside("1", NFT, never),
  ]) {
    await assert.rejects(work, (error: unknown) => error instanceof DockerError && error.code === "unreachable");
  }
});
