/** An agent that sees a backend end: whose sockets it closes, and when. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LAYOUT_VERSION } from "../../../src/maps/layout.ts";
import { SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { encodeReverseNatKey, encodeReverseNatValue, REVERSE_NAT_MAP } from "../../../src/maps/reverse-nat-map.ts";
import { parseAddress } from "../../../src/model/address.ts";
import { encodeLocalService } from "../../../src/wire/local-service.ts";
import { encodeService } from "../../../src/wire/service.ts";
import { OSAKA, OWN } from "../../tables/world.ts";
import { settings, start, world } from "./stage.ts";

const DNS = [{ name: "dns", protocol: "UDP" as const, port: 53 }];
const [BACKEND, FRONTEND] = ["10.1.0.7", "10.9.0.53"];
const bytes = (address: string): Uint8Array => parseAddress(address) ?? assert.fail(address);

test("a UDP backend that is not ready any more keeps its clients; one whose pod is gone does not", async () => {
  const mesh = world();
  const { local } = mesh;
  const said = { namespace: "shop", name: "dns", frontends: new Map([[FRONTEND, DNS]]), shared: true };
  const offer = (backends: ReadonlyMap<string, typeof DNS>): void => {
    const more = { cluster: OSAKA.name, clusterId: OSAKA.id, labels: new Map(), selector: new Map() };
    local.put(local.serviceKey(OSAKA, "dns"), encodeService({ ...said, ...more, backends }));
  };
  local.put(
    local.serviceKey(OWN, "dns"),
    encodeLocalService({ ...said, backends: new Map(), global: true, affinity: "none" }),
  );
  local.ip(OSAKA, BACKEND);
  offer(new Map([[BACKEND, DNS]]));
  const { agent, crash, metrics } = await start(mesh);
  const request = { objectPath: "", pinDirectory: settings.bpfDir, layoutVersion: LAYOUT_VERSION };
  const { maps } = await mesh.kernel.load({ ...request, layouts: SOCK_LB_OBJECT.maps });
  const socket = { cookie: 5n, address: bytes(BACKEND), port: 53 };
  const values = encodeReverseNatValue({ address: bytes(FRONTEND), port: 53 });
  await maps.get(REVERSE_NAT_MAP.name)?.update({ count: 1, keys: encodeReverseNatKey(socket), values });
  mesh.sockets.open("pod", socket);
  await local.clock.advance(5_000);
  offer(new Map());
  await local.clock.advance(5_000);
  assert.equal(agent.status().removed, 2, "its slot and itself");
  assert.deepEqual(mesh.sockets.cookies(), [5n]);
  local.delete(local.keyOf(OSAKA, "ip", BACKEND));
  await local.clock.advance(5_000);
  assert.deepEqual(mesh.sockets.cookies(), []);
  assert.match(await metrics.text(), /bulkhead_udp_sockets_closed_total 1/);
  await crash();
});
