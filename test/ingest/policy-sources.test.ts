/** What policy needs of the local etcd: identities, nodes, policies, pods that other clusters must not see, audited pods. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceKind } from "../../src/tables/tables-view.ts";
import {
  ENDPOINTS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  localCanary,
  POLICIES_PREFIX,
} from "../../src/wire/keys.ts";
import { encodeLocalEndpoint } from "../../src/wire/local-endpoint.ts";
import { internal, nodeOf, OSAKA, OWN, VIRGINIA } from "../tables/world.ts";
import { identityValue, ipValue, isSynced, LocalEtcd, SETTLE_MS, stage } from "./stage.ts";

const HTTP = { name: "http", port: 8080, protocol: "TCP" } as const;
const OWN_ID = OWN.id * 65536 + 300;
const OSAKA_ID = OSAKA.id * 65536 + 300;

async function full() {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.policy("web");
  local.node(OWN, nodeOf(OWN, "n1", { addresses: [internal("172.16.0.1")], podCidrs: ["10.2.0.0/24"] }));
  local.node(OSAKA, nodeOf(OSAKA, "n1", { addresses: [internal("172.16.1.1")] }));
  local.identity(OSAKA, OSAKA_ID, "web");
  local.put(LOCAL_IDENTITIES_PREFIX + OWN_ID, identityValue(OWN, "quiet"));
  local.put(`${LOCAL_IPS_PREFIX}10.2.0.9`, ipValue(OWN, "10.2.0.9", [HTTP]));
  local.put(`${ENDPOINTS_PREFIX}shop/web`, encodeLocalEndpoint({ namespace: "shop", name: "web", audit: true }));
  const running = stage(local, OWN);
  await local.clock.advance(SETTLE_MS);
  return { local, ...running };
}

type Running = Awaited<ReturnType<typeof full>>;

const appOf = ({ tables }: Running, id: number) => tables.identity(id)?.labels.find(({ key }) => key === "app")?.value;

function held(running: Running) {
  const { tables } = running;
  return {
    policies: [...tables.policies()].map(({ name }) => name),
    nodes: [...tables.nodes()].map(({ cluster, name }) => `${cluster}/${name}`),
    apps: [appOf(running, OWN_ID), appOf(running, OSAKA_ID)],
    local: tables.ipClaims("10.2.0.9").map(({ podName, namespace }) => `${namespace}/${podName}`),
    ports: tables.namedPorts(OWN_ID),
    audited: tables.isAudited("shop/web"),
  };
}

const everything = {
  policies: ["web"],
  nodes: ["amsterdam/n1", "osaka/n1"],
  apps: ["quiet", "web"],
  local: ["shop/web"],
  ports: [HTTP],
  audited: true,
};

test("everything that policy needs reaches the tables, and leaves them when it is deleted", async () => {
  const running = await full();
  const { local, ingest, stop } = running;
  assert.deepEqual(held(running), everything);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  local.policy("api");
  local.delete(`${POLICIES_PREFIX}NetworkPolicy/shop/web`);
  local.delete(`${LOCAL_IPS_PREFIX}10.2.0.9`);
  local.delete(LOCAL_IDENTITIES_PREFIX + OWN_ID);
  local.delete(`${ENDPOINTS_PREFIX}shop/web`);
  local.delete(local.keyOf(OSAKA, "nodes", "n1"));
  local.delete(local.keyOf(OSAKA, "identities", String(OSAKA_ID)));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(running), {
    policies: ["api"],
    nodes: ["amsterdam/n1"],
    apps: [undefined, undefined],
    local: [],
    ports: [],
    audited: false,
  });
  await stop();
});

test("an etcd that comes back empty withdraws no policy; each source goes once its own canary stands again", async () => {
  const running = await full();
  const { local, tables, stop } = running;
  local.etcd.wipe();
  await local.clock.advance(5_000);
  assert.deepEqual(held(running), everything);
  local.config(OWN);
  local.put(localCanary(OWN.name, ENDPOINTS_PREFIX), new Uint8Array([1]));
  await local.clock.advance(5_000);
  assert.deepEqual(held(running), { ...everything, audited: false });
  const synced = (kind: SourceKind): boolean => isSynced(tables, kind, OWN);
  assert.deepEqual([synced("endpoints"), synced("policies"), synced("local-ip")], [true, false, false]);
  local.canaries(OWN);
  await local.clock.advance(5_000);
  const osaka = { nodes: ["osaka/n1"], apps: [undefined, "web"] };
  assert.deepEqual(held(running), { policies: [], local: [], ports: [], audited: false, ...osaka });
  await stop();
});

test("an exporter that does not know policies yet: services and addresses are complete without it", async () => {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  for (const prefix of [POLICIES_PREFIX, LOCAL_IPS_PREFIX, LOCAL_IDENTITIES_PREFIX, ENDPOINTS_PREFIX]) {
    local.delete(localCanary(OWN.name, prefix));
  }
  const { tables, ingest, stop } = stage(local, OWN);
  await local.clock.advance(SETTLE_MS);
  const synced = (["services", "ip", "identities", "nodes", "policies", "local-ip"] as const).filter((kind) =>
    isSynced(tables, kind, OWN),
  );
  assert.deepEqual([synced, ingest.status().synced], [["services", "ip", "identities", "nodes"], false]);
  await stop();
});

test("a refused policy keeps its last good version in force, also over a listing, and is named", async () => {
  const running = await full();
  const { local, ingest, stop } = running;
  local.policy("web", { podSelector: {}, ingres: [] });
  await local.clock.advance(SETTLE_MS);
  local.etcd.cut();
  await local.clock.advance(5_000);
  assert.deepEqual(held(running), everything);
  assert.match(ingest.status().problems.join("\n"), /policies\/NetworkPolicy\/shop\/web: refused: .*ingres/);
  await stop();
});

test("two sources that contradict each other about one identity: what everybody may see counts, and it is said", async () => {
  const running = await full();
  const { local, ingest, stop } = running;
  local.identity(OWN, OWN_ID, "loud");
  await local.clock.advance(SETTLE_MS);
  assert.equal(appOf(running, OWN_ID), "loud");
  assert.match(ingest.status().problems.join("\n"), /identity 131372: .* say different labels; the first counts/);
  await stop();
});

test("I5: another cluster's identity outside its range, and labels of another cluster, are refused", async () => {
  const running = await full();
  const { local, ingest, stop } = running;
  local.put(local.keyOf(VIRGINIA, "identities", String(OSAKA_ID)), identityValue(VIRGINIA, "thief"));
  local.put(local.keyOf(VIRGINIA, "identities", String(VIRGINIA.id * 65536 + 300)), identityValue(OSAKA, "thief"));
  local.put(LOCAL_IDENTITIES_PREFIX + OSAKA_ID, identityValue(OWN, "thief"));
  local.cluster(VIRGINIA, "10.3.0");
  await local.clock.advance(SETTLE_MS);
  assert.equal(appOf(running, OSAKA_ID), "web");
  assert.equal(running.tables.identity(VIRGINIA.id * 65536 + 300), undefined);
  assert.equal(ingest.status().problems.length, 3);
  await stop();
});

test("recheck lists again at once, then no more often than its interval; what was asked meanwhile is not forgotten", async () => {
  const { local, ingest, changes, stop } = await full();
  /** Each listing is told of, changes or not: with the page of what others offer, and at its end. */
  const listings = async (durationMs: number): Promise<number> => {
    const before = changes();
    await local.clock.advance(durationMs);
    return (changes() - before) / 2;
  };
  assert.equal(await listings(1_000), 0);
  ingest.recheck();
  assert.equal(await listings(1_000), 1);
  for (let asked = 0; asked < 10; asked++) ingest.recheck();
  assert.equal(await listings(28_000), 0);
  assert.equal(await listings(2_000), 1, "once, for all who asked");
  assert.equal(await listings(60_000), 0);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  await stop();
});
