// The agent dies by SIGKILL: what it pinned goes on working, and the next one takes it over without writing anything.
import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { KernelError, type LoadedObject } from "../../src/kernel/door.ts";
import { linkInfo } from "../../src/kernel/info.ts";
import { libbpf } from "../../src/kernel/library.ts";
import { openPin } from "../../src/kernel/pins.ts";
import { SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { backendEntry, countersOf, entriesOf, mapOf, rowsOf, serviceEntries } from "./entries.ts";
import type { KeeperTask } from "./keeper.ts";
import { type Actor, Stage } from "./stage.ts";

const KEEPER = fileURLToPath(new URL("keeper.ts", import.meta.url));
const frontend = { address: "172.20.0.10", port: 80, protocol: "TCP" } as const;
const backend = { address: "10.1.0.1", port: 8080, protocol: "TCP" } as const;
const CALL = { ask: "tcp", host: frontend.address, port: frontend.port } as const;
const ANSWER = { name: "a", peer: `${frontend.address}|${frontend.port}` };
const MAPS = SOCK_LB_OBJECT.maps.map(({ name }) => name).sort();
const OF_SERVICES = ["connect4", "connect6", "sendmsg4", "sendmsg6"];
const REPLACEMENTS = 20;
const BETWEEN_REPLACEMENTS_MS = 10;
const DETACH_TIMEOUT_MS = 5000;

let stage: Stage;
let inside: Actor;

function all(outcome: string): Record<string, string> {
  return Object.fromEntries(SOCK_LB_OBJECT.programs.map((program) => [program, outcome]));
}

before(async () => {
  stage = new Stage();
  stage.addAddress(backend.address);
  inside = stage.actor("inside");
  const outside = stage.actor("outside");
  await outside.ask({ ask: "serve-tcp", host: backend.address, port: backend.port, name: "a" });
});

after(() => stage.close());

/** The kernel detaches a link some moments after its pin is gone. */
async function untilUntranslated(): Promise<void> {
  const deadline = performance.now() + DETACH_TIMEOUT_MS;
  let answer = await inside.ask(CALL);
  while (answer.error === undefined && performance.now() < deadline) answer = await inside.ask(CALL);
  assert.deepEqual(answer, { error: "ENETUNREACH" });
}

/** What an agent leaves behind when it is killed without warning. */
async function killedKeeper(): Promise<void> {
  const task: KeeperTask = { pins: stage.pins, cgroup: stage.cgroup, frontend, backend };
  const keeper = stage.spawn("outside", KEEPER, JSON.stringify(task));
  assert(keeper.stdout !== null);
  const [line] = (await once(createInterface(keeper.stdout), "line")) as [string];
  assert.deepEqual(JSON.parse(line), all("created"));
  keeper.kill("SIGKILL");
  await once(keeper, "exit");
}

beforeEach(async () => {
  rmSync(stage.pins, { recursive: true, force: true });
  await untilUntranslated();
  await killedKeeper();
});

/** Ids of the programs that the pinned links run. */
function runningPrograms(): number[] {
  return SOCK_LB_OBJECT.programs.map((program) => {
    const fd = openPin(join(stage.pins, `link_${program}`));
    assert(fd !== undefined);
    const { programId } = linkInfo(fd);
    closeSync(fd);
    return programId;
  });
}

async function services(object: LoadedObject): Promise<string[]> {
  return [...(await rowsOf(mapOf(object, "services"))), ...(await rowsOf(mapOf(object, "backends")))];
}

test("with nobody alive connections work; the next agent finds maps and links unchanged", async () => {
  for (let index = 0; index < 50; index++) assert.deepEqual(await inside.ask(CALL), ANSWER);
  const programs = runningPrograms();
  const object = await stage.load();
  assert.deepEqual([...object.adopted].sort(), MAPS);
  assert.equal((await countersOf(object)).translated, 50);
  const expected = [...serviceEntries(frontend, [1]), backendEntry(1, backend)];
  assert.deepEqual(
    await services(object),
    expected.map((pair) => pair.map((bytes) => Buffer.from(bytes).toString("hex")).join(" ")).sort(byMap),
  );
  assert.deepEqual(await object.attachCgroup(stage.cgroup), all("unchanged"));
  assert.deepEqual(runningPrograms(), programs);
  assert.deepEqual(await inside.ask(CALL), ANSWER);
});

/** Services (longer keys) first, as `services` reads them. */
function byMap(left: string, right: string): number {
  const order = right.indexOf(" ") - left.indexOf(" ");
  if (order !== 0) return order;
  return left < right ? -1 : 1;
}

test("pinned maps were removed: programs of services run with the new ones, though their code is the same; the others go on with theirs", async () => {
  for (const name of MAPS) rmSync(join(stage.pins, `${name}_v1`));
  const object = await stage.load();
  assert.deepEqual(object.adopted, []);
  assert.deepEqual(await inside.ask(CALL), ANSWER);
  assert.deepEqual(await object.attachCgroup(stage.cgroup), {
    ...all("unchanged"),
    ...Object.fromEntries(OF_SERVICES.map((program) => [program, "replaced"])),
  });
  assert.deepEqual(await inside.ask(CALL), { error: "ENETUNREACH" });
  await mapOf(object, "backends").update(entriesOf([backendEntry(1, backend)]));
  await mapOf(object, "services").update(entriesOf(serviceEntries(frontend, [1])));
  assert.deepEqual(await inside.ask(CALL), ANSWER);
  assert.deepEqual(await object.attachCgroup(stage.cgroup), all("unchanged"));
});

test("programs are replaced again and again under a stream of connections: none fails", async () => {
  let replacing = true;
  const stream = (async () => {
    let connections = 0;
    for (; replacing; connections++) assert.deepEqual(await inside.ask(CALL), ANSWER);
    return connections;
  })();
  for (let round = 0; round < REPLACEMENTS; round++) {
    for (const name of ["services", "backends"]) rmSync(join(stage.pins, `${name}_v1`));
    const object = await stage.load();
    await mapOf(object, "backends").update(entriesOf([backendEntry(1, backend)]));
    await mapOf(object, "services").update(entriesOf(serviceEntries(frontend, [1])));
    assert.equal((await object.attachCgroup(stage.cgroup))["connect4"], "replaced");
    object.close();
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_REPLACEMENTS_MS));
  }
  replacing = false;
  const connections = await stream;
  assert(connections > REPLACEMENTS, `${connections} connections are no stream`);
});

test("a link was removed: only that one is made again", async () => {
  rmSync(join(stage.pins, "link_connect4"));
  await untilUntranslated();
  const object = await stage.load();
  assert.deepEqual(await object.attachCgroup(stage.cgroup), { ...all("unchanged"), connect4: "created" });
  assert.deepEqual(await inside.ask(CALL), ANSWER);
});

test("the cgroup was removed and made again, or is another one: links are made again, and no pin is left over", async () => {
  const directory = join(stage.cgroup, "node");
  mkdirSync(directory);
  try {
    const object = await stage.load();
    assert.deepEqual(await object.attachCgroup(directory), all("created"));
    assert.deepEqual(await object.attachCgroup(directory), all("unchanged"));
    rmdirSync(directory);
    mkdirSync(directory);
    assert.deepEqual(await object.attachCgroup(directory), all("created"));
    assert.deepEqual(await object.attachCgroup(directory), all("unchanged"));
    const links = SOCK_LB_OBJECT.programs.map((program) => `link_${program}`);
    assert.deepEqual(readdirSync(stage.pins).sort(), [...links, ...MAPS.map((name) => `${name}_v1`)].sort());
  } finally {
    rmdirSync(directory);
  }
});

test("a pinned map of another type or size is refused and stays; another capacity is adopted as it is", async () => {
  const pins = join(stage.pins, "other");
  await stage.load(SOCK_LB_OBJECT, { pinDirectory: pins, maxEntries: { backends: 16 } });
  const again = await stage.load(SOCK_LB_OBJECT, { pinDirectory: pins, maxEntries: { backends: 32 } });
  assert.equal(mapOf(again, "backends").maxEntries, 16);
  rmSync(join(pins, "backends_v1"));
  const fd = openPin(join(pins, "services_v1"));
  assert(fd !== undefined);
  assert.equal(libbpf().pin(fd, join(pins, "backends_v1")), 0);
  closeSync(fd);
  await assert.rejects(stage.load(SOCK_LB_OBJECT, { pinDirectory: pins }), (error) => {
    assert(error instanceof KernelError);
    assert.match(error.message, /backends_v1 holds a map of another type or size than the object's/);
    return true;
  });
  assert(readdirSync(pins).includes("backends_v1"));
});
