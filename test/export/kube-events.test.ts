/** Events at objects that somebody should mend: what `kubectl describe` shows, how seldom, and what happens where none may be made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKube, type KubeFaults } from "../../src/kube/faulty.ts";
import { memoryKube, pathOfKind, apply as put } from "../support/kube-objects.ts";
import { ALL, LEDGER_POD, LEDGER_SERVICE } from "./kube-cluster.ts";
import { type Running, Scene } from "./scene.ts";

const EVENTS = "/api/v1/events";
const MINUTE_MS = 60_000;
const THIEF = LEDGER_POD.replace("ledger-5c9d", "thief");
const CLUSTERWIDE = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: all}
spec: {endpointSelector: {}, egress: [{toFQDNs: [{matchName: example.com}]}]}
`;

interface Event {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly involvedObject: Readonly<Record<string, string>>;
  readonly message: string;
}

async function cluster(text: string, faults: KubeFaults = {}) {
  const kube = memoryKube();
  put(kube, text);
  const scene = new Scene();
  const { kubernetes, ...rest } = scene.kubernetes(faultyKube(kube, faults));
  assert.ok(kubernetes);
  const start = (eventsAs: string): Promise<Running> =>
    scene.synced({ ...rest, kubernetes: { ...kubernetes, eventsAs } });
  const { exporter } = await start("exporter-a");
  const events = (): readonly Event[] => [...kube.objects(EVENTS).values()] as unknown as readonly Event[];
  return { kube, scene, exporter, events, start };
}

test("a conflict is told at the object, in words that say how to mend it", async () => {
  const { kube, scene, events } = await cluster([ALL, THIEF].join("---"));
  await scene.clock.advance(20_000);
  const [event, ...others] = events();
  assert.ok(event);
  assert.deepEqual(others, []);
  const {
    metadata,
    firstTimestamp: _first,
    lastTimestamp: _last,
    ...rest
  } = event as unknown as Record<string, unknown>;
  assert.match(event.metadata.name, /^thief\.[0-9a-f]{16}$/);
  assert.equal(event.metadata.namespace, "billing");
  const uid = kube.objects(pathOfKind("Pod")).get("billing/thief")?.metadata["uid"];
  assert.ok(metadata && uid);
  assert.deepEqual(rest, {
    apiVersion: "v1",
    kind: "Event",
    involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "billing", name: "thief", uid },
    reason: "NotPublishedAsAsked",
    message: "Pod billing/thief: address 10.77.3.81 belongs to pod billing/ledger-5c9d; give it another",
    type: "Warning",
    count: 1,
    source: { component: "bulkhead-exporter" },
    reportingComponent: "bulkhead-exporter",
    reportingInstance: "exporter-a",
  });
  await scene.end();
});

test("what is refused is told too, of objects without a namespace in the namespace default; where nothing is wrong nothing is said", async () => {
  const { kube, scene, events } = await cluster(ALL);
  await scene.clock.advance(MINUTE_MS);
  assert.deepEqual(events(), []);
  put(kube, CLUSTERWIDE);
  await scene.clock.advance(MINUTE_MS);
  assert.equal(events().length, 1);
  const [event] = events();
  assert.equal(event?.metadata.namespace, "default");
  assert.equal(event?.involvedObject["kind"], "CiliumClusterwideNetworkPolicy");
  assert.equal(event?.involvedObject["namespace"], undefined);
  assert.match(event?.message ?? "", /toFQDNs.*what is published for it stays$/);
  await scene.end();
});

test("not more than ten in ten seconds; each is there in the end", async () => {
  const thieves = Array.from({ length: 25 }, (_, index) => LEDGER_POD.replace("ledger-5c9d", `thief-${index}`));
  const { scene, events } = await cluster([ALL, ...thieves].join("---"));
  await scene.clock.advance(5_000);
  assert.ok(events().length <= 10, String(events().length));
  await scene.clock.advance(MINUTE_MS);
  assert.equal(events().length, 25);
  await scene.end();
});

test("an object that changes all the time is told of every five minutes; the same again when the server has forgotten it", async () => {
  const { kube, scene, events } = await cluster(ALL);
  for (let step = 0; step < 20; step++) {
    put(kube, LEDGER_SERVICE.replace("selector:", `sessionAffinity: Odd${step}\n  selector:`));
    await scene.clock.advance(15_000);
  }
  assert.ok(events().length >= 1 && events().length <= 2, String(events().length));
  await scene.clock.advance(10 * MINUTE_MS);
  const names = [...kube.objects(EVENTS).keys()];
  assert.equal(names.length, 2, "the newest reason");
  for (const name of names) kube.remove(EVENTS, name);
  await scene.clock.advance(60 * MINUTE_MS);
  assert.equal(events().length, 1, "it is wrong still");
  await scene.end();
});

test("a new leader says nothing twice", async () => {
  const { scene, events, start } = await cluster([ALL, THIEF].join("---"));
  await scene.clock.advance(20_000);
  await scene.end();
  await start("exporter-b");
  await scene.clock.advance(20_000);
  assert.equal(events().length, 1);
  assert.match(await scene.metrics.text(), /^bulkhead_kube_events_total\{result="exists"\} 1$/m);
  await scene.end();
});

test("where no events may be made that is told, tried again ever more seldom, and everything else goes on", async () => {
  let asked = 0;
  let forbidden = true;
  const fault: KubeFaults["fault"] = (call) => {
    if (call !== "create") return undefined;
    asked++;
    return forbidden ? "forbidden" : undefined;
  };
  const { kube, scene, exporter, events } = await cluster([ALL, THIEF].join("---"), { fault });
  await scene.clock.advance(30 * MINUTE_MS);
  assert.ok(asked >= 2 && asked < 40, String(asked));
  assert.match(
    exporter.status().problems.join("\n"),
    /^Kubernetes: no events are made: forbidden \(injected\); let it "create events", or set --kube-events none$/m,
  );
  kube.remove(pathOfKind("Pod"), "billing/ledger-5c9d");
  await scene.clock.advance(1_000);
  assert.match((await scene.text("cilium/state/ip/v1/default/10.77.3.81")) ?? "", /"K8sPodName":"thief"/);
  put(kube, LEDGER_POD);
  forbidden = false;
  await scene.clock.advance(20 * MINUTE_MS);
  assert.equal(events().length, 1);
  assert.ok(!exporter.status().problems.some((line) => line.includes("no events")));
  await scene.end();
});

test("who is not told to makes none", async () => {
  const kube = memoryKube();
  put(kube, [ALL, THIEF].join("---"));
  const scene = new Scene();
  await scene.synced(scene.kubernetes(kube));
  await scene.clock.advance(MINUTE_MS);
  assert.equal(kube.objects(EVENTS).size, 0);
  await scene.end();
});
