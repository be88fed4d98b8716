import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { DockerError } from "../../src/docker/door.ts";
import { MemoryDocker } from "../../src/docker/memory.ts";
import { parseAllowList } from "../../src/drill/allow-list.ts";
import { Containers, handsOf } from "../../src/drill/containers.ts";
import { SystemHands } from "../../src/drill/hands.ts";
import { operationText, planFault } from "../../src/drill/operations.ts";
import { probeFrom } from "../../src/drill/probe-process.ts";
import type { Fault, ProbeCounts } from "../../src/model/drill.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { RecordingHands, refused } from "./stage.ts";

const LABEL = "com.docker.compose.service=osaka-etcd";
const ETCD = { name: "etcd", labels: { "com.docker.compose.service": "osaka-etcd" }, address: "10.77.20.2" };
const FOLDER = mkdtempSync(join(tmpdir(), "bulkhead-containers-"));
after(() => rmSync(FOLDER, { recursive: true }));
const [OWN, BACKUP] = [join(FOLDER, "etcd"), join(FOLDER, "backup")];
const DATA = { name: "data", etcd: { config: join(FOLDER, "etcd.yaml"), data: OWN, backup: BACKUP } };
const allowList = parseAllowList(
  "allow.yaml",
  JSON.stringify({
    version: 1,
    probes: [{ name: "client", container: LABEL }],
    targets: [
      { name: "etcd", faults: ["kill", "freeze", "thaw", "start"], container: LABEL },
      { name: "port", faults: ["blackhole"], container: LABEL, device: { name: "eth0", port: 2379 } },
      { name: "link", faults: ["flap", "link-down"], container: LABEL, device: { name: "eth0" } },
      { ...DATA, faults: ["wipe", "restore-old", "quota"], container: LABEL },
    ],
  }),
);

let docker: MemoryDocker;
let containers: Containers;
/** `beside: nft ...` */
let commands: string[];
beforeEach(() => {
  docker = new MemoryDocker();
  docker.put(ETCD);
  commands = [];
  docker.writes = (where, _, argv) => {
    commands.push(`${where}: ${argv.join(" ")}`);
    return [];
  };
  containers = new Containers(docker, systemClock);
});

async function listed(label: string): Promise<readonly { readonly State: string }[]> {
  return JSON.parse(new TextDecoder().decode(await docker.list(label, new AbortController().signal)));
}

async function state(): Promise<string> {
  return (await listed(LABEL))[0]?.State ?? "gone";
}

function plan(fault: Fault) {
  const target = allowList.targets.find(({ faults }) => faults.includes(fault)) ?? assert.fail();
  return planFault(fault, target, { id: "drill-r-1", folder: "/state" });
}

/** An etcd with the marker. */
const LAB = { hasKey: async () => true, noSpace: async () => undefined };

/** Of a fault, or of what undoes it. */
async function does(fault: Fault, which: "does" | "undoes" = "does"): Promise<void> {
  const hands = handsOf(new SystemHands(systemClock, LAB), containers);
  for (const operation of plan(fault)[which]) await hands.carryOut(operation);
}

for (const [fault, under, after] of [
  ["kill", "exited", "running"],
  ["freeze", "paused", "running"],
] as const) {
  test(`${fault} of a container is done, and undone as often as one likes`, async () => {
    await does(fault, "undoes");
    assert.equal(await state(), "running", "it was not needed");
    await does(fault);
    assert.equal(await state(), under);
    await does(fault, "undoes");
    await does(fault, "undoes");
    assert.equal(await state(), after);
  });
}

test("blackhole of a container drops what comes to its port, in its network, and takes the rule away", async () => {
  await does("blackhole");
  await does("blackhole", "undoes");
  const [drop = "", none = ""] = commands;
  assert.match(drop, /^beside: nft .*ingress device "eth0".* tcp dport 2379 drop$/);
  assert.match(none, /^beside: nft .*delete table netdev bulkhead_drill$/);
  assert.deepEqual(plan("blackhole").does.map(operationText), [
    drop.replace(/^beside/, `run in the network of the container that carries ${LABEL}`),
  ]);
});

test("a link goes down; it flaps until the container that does it is killed, and is up in the end", async () => {
  await does("link-down");
  await does("link-down", "undoes");
  assert.deepEqual(commands.splice(0), ["beside: ip link set eth0 down", "beside: ip link set eth0 up"]);
  await does("flap");
  assert.match(commands.pop() ?? "", /^beside: sh -c while :; do ip link set eth0 down; .* drill-r-1$/);
  const helpers = async () => (await listed("bulkhead.drill=drill-r-1")).length;
  assert.equal(await helpers(), 1);
  await does("flap", "undoes");
  assert.equal(await helpers(), 0);
  await does("flap", "undoes");
  assert.deepEqual(commands, ["beside: ip link set eth0 up", "beside: ip link set eth0 up"]);
});

for (const [fault, meanwhile] of [
  ["wipe", []],
  ["restore-old", ["old"]],
] as const) {
  test(`${fault} of a container: other data while it lasts, its own afterwards, undone as often as one likes`, async () => {
    for (const [folder, file] of [
      [OWN, "own"],
      [BACKUP, "old"],
    ] as const) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      writeFileSync(join(folder, file), "");
    }
    await does(fault, "undoes");
    assert.deepEqual([await state(), readdirSync(OWN)], ["running", ["own"]], "it was not needed");
    await does(fault);
    assert.equal(await state(), "running");
    assert.deepEqual(existsSync(OWN) ? readdirSync(OWN) : [], meanwhile);
    for (let times = 0; times < 2; times++) await does(fault, "undoes");
    assert.deepEqual([await state(), readdirSync(OWN), readdirSync(BACKUP)], ["running", ["own"], ["old"]]);
  });
}

test("a container that uses what is put back is ended before, and only then", () => {
  const aside = `${OWN}.drill-r-1`;
  assert.deepEqual(plan("wipe").undoes.map(operationText), [
    `if there is ${aside}: kill the container that carries ${LABEL}`,
    `if there is ${aside}: put it back as ${OWN}`,
    `start the container that carries ${LABEL}`,
  ]);
});

test("a container is started and ended, and thawed when it is paused", async () => {
  docker.put({ ...ETCD, state: "exited" });
  await does("start");
  assert.equal(await state(), "running");
  await does("thaw");
  await does("freeze");
  await does("thaw");
  assert.equal(await state(), "running");
  await does("start", "undoes");
  assert.equal(await state(), "exited");
});

test("what does not run is not broken, and whatever is not there needs no undo", async () => {
  docker.put({ ...ETCD, state: "exited" });
  const is = `the container that carries ${LABEL} is exited`;
  await assert.rejects(does("kill"), new RegExp(`^Error: ${is}: no kill$`));
  await assert.rejects(does("freeze"), new RegExp(`^Error: ${is}: no pause$`));
  await assert.rejects(does("blackhole"), /^Error: no container runs that carries com\./);
  await does("blackhole", "undoes");
  docker.remove("etcd");
  for (const fault of ["kill", "freeze", "start"] as const) {
    await does(fault, "undoes");
    await assert.rejects(does(fault), /^Error: no container carries com\./);
  }
  assert.deepEqual(commands, []);
});

test("of two that carry the label neither is touched, and an undo waits until one is gone", async () => {
  await does("kill");
  docker.put({ ...ETCD, name: "twin" });
  for (const work of [does("kill"), does("kill", "undoes")]) {
    await assert.rejects(work, /^Error: 2 containers carry .*, and only one may; remove the others$/);
  }
  docker.remove("twin");
  await does("kill", "undoes");
  assert.equal(await state(), "running");
});

test("one that is started and ends at once has not started: whoever undoes with it tries again", async () => {
  await does("kill");
  const act = docker.act.bind(docker);
  docker.act = async (id, action) => {
    await act(id, action);
    docker.put({ ...ETCD, state: "exited" });
  };
  await assert.rejects(does("kill", "undoes"), /was started and is exited$/);
});

test("an engine that is gone, and a command that fails, say so", async () => {
  docker.writes = () => new DockerError("refused", "nft: Error: no such device");
  await assert.rejects(does("blackhole"), /no such device$/);
  docker.die();
  await assert.rejects(does("kill"), /the engine is gone/);
});

test("without a Docker socket only what is of the host is done", async () => {
  const host = new RecordingHands();
  const hands = handsOf(host, undefined);
  const [kill] = plan("kill").does;
  await assert.rejects(hands.carryOut(kill ?? assert.fail()), /given no --docker-socket$/);
  await hands.carryOut({ kind: "command", argv: ["true"] });
  assert.deepEqual(host.done, ["run: true"]);
});

const QUERY = new Map(Object.entries({ place: "client", address: "10.78.1.5", port: "80", rate: "100" }));

test("probes come from inside the container", async () => {
  const stop = new AbortController();
  const counts: ProbeCounts = { made: 3, failed: 1, failures: { timeout: 1 } };
  docker.writes = (where, _, argv) => {
    commands.push(`${where}: ${argv.join(" ")}`);
    return [JSON.stringify(counts)];
  };
  const heard: ProbeCounts[] = [];
  for await (const line of probeFrom({ allowList, containers }, QUERY, stop.signal)) {
    heard.push(line);
    stop.abort();
  }
  assert.deepEqual(heard, [counts]);
  assert.deepEqual(commands, ["inside: bulkhead drill probe --address 10.78.1.5 --port 80 --rate 100"]);
});

test("probes that end by themselves, or have no container to come from, fail", async () => {
  const ask = async (): Promise<void> => {
    for await (const _ of probeFrom({ allowList, containers }, QUERY, new AbortController().signal));
  };
  await assert.rejects(ask(), /the prober ended by itself/);
  docker.writes = () => ["OCI runtime exec failed: no such file"];
  await assert.rejects(ask(), /^Error: the prober says: OCI runtime exec failed: no such file$/);
  docker.put({ ...ETCD, state: "paused" });
  await assert.rejects(ask(), /no container runs that carries/);
  const nowhere = async (): Promise<void> =>
    void probeFrom({ allowList, containers: undefined }, QUERY, AbortSignal.abort());
  await refused(nowhere(), /^place client is a container: give drilld --docker-socket$/);
});
