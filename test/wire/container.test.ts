import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseCidr } from "../../src/model/address.ts";
import { type Container, judgeContainers } from "../../src/wire/container.ts";
import { containerManifests } from "../../src/wire/container-manifests.ts";
import { addressOfName } from "../../src/wire/service-addresses.ts";

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const ID = "1f37e75a26b8f3396f0e9b1b0987a800cff5afbd6a7f4fdf75c1f43ee600dd24";

/** As an engine answers, in the part that is read. */
function listed(changes: Readonly<Record<string, unknown>> = {}): unknown {
  return {
    Id: ID,
    Names: ["/shop_cart_1"],
    Created: 1795792774,
    Labels: { "bulkhead.cluster": "osaka" },
    State: "running",
    Status: "Up 3 seconds",
    NetworkSettings: { Networks: { mesh: { IPAddress: "10.77.1.5", GlobalIPv6Address: "" } } },
    Mounts: [{ Type: "volume", RW: true }],
    ...changes,
  };
}

function read(value: unknown): Container {
  const judged = judgeContainers(bytes([value]));
  assert.ok(judged.ok);
  const [only] = judged.value;
  assert.ok(only?.ok, JSON.stringify(only));
  return only.value;
}

function container(changes: Partial<Container> = {}, labels: Readonly<Record<string, string>> = {}): Container {
  const base = { id: "1f37e75a26b8", name: "shop_cart_1", createdSeconds: 5, addresses: ["10.77.1.5"], ready: true };
  return { ...base, state: "running", labels: new Map(Object.entries(labels)), ...changes };
}

const RANGE = parseCidr("10.140.0.0/16") ?? assert.fail();
const PLACE = { node: "osk-w1", serviceCidr: RANGE };

function refusal(labels: Readonly<Record<string, string>>, changes: Partial<Container> = {}): string {
  const { objects, problems } = containerManifests([container(changes, labels)], PLACE);
  assert.deepEqual(objects, [], "it is no object");
  assert.equal(problems.length, 1);
  return problems[0] ?? "";
}

describe("a list of containers", () => {
  test("is read", () => {
    assert.deepEqual(read(listed()), {
      id: "1f37e75a26b8",
      name: "shop_cart_1",
      createdSeconds: 1795792774,
      labels: new Map([["bulkhead.cluster", "osaka"]]),
      state: "running",
      addresses: ["10.77.1.5"],
      ready: true,
    });
  });

  for (const [state, status, addresses, ready] of [
    ["running", "Up 2 minutes (healthy)", 1, true],
    ["running", "Up 2 minutes (unhealthy)", 1, false],
    ["running", "Up 2 seconds (health: starting)", 1, false],
    ["paused", "Up 2 minutes (Paused)", 1, false],
    ["exited", "Exited (137) 1 second ago", 0, false],
    ["created", "Created", 0, false],
    ["restarting", "Restarting (1) 1 second ago", 0, false],
  ] as const) {
    test(`${state}, ${status}: ${addresses} addresses, ${ready ? "ready" : "not ready"}`, () => {
      const found = read(listed({ State: state, Status: status }));
      assert.deepEqual([found.addresses.length, found.ready], [addresses, ready]);
    });
  }

  test("every network's addresses count, IPv4 first; a host network has none", () => {
    const networks = { b: { IPAddress: "10.2.0.2" }, a: { IPAddress: "10.1.0.2", GlobalIPv6Address: "fd00::2" } };
    const { addresses } = read(listed({ NetworkSettings: { Networks: networks } }));
    assert.deepEqual(addresses, ["10.1.0.2", "10.2.0.2", "fd00::2"]);
    const host = read(listed({ NetworkSettings: { Networks: { host: { IPAddress: "" } } } }));
    assert.deepEqual(host.addresses, []);
  });

  test("what is no list is rejected whole, what is no container alone", () => {
    for (const whole of [{}, "x", null, 1]) assert.equal(judgeContainers(bytes(whole)).ok, false);
    assert.equal(judgeContainers(new TextEncoder().encode(`[{"Id":"${ID}"`)).ok, false, "cut off");
    const judged = judgeContainers(bytes([{ ...(listed() as object), Labels: { a: 1 } }, listed(), { Id: "../x" }, 7]));
    assert.ok(judged.ok);
    assert.deepEqual(
      judged.value.map((one) => (one.ok ? "good" : `${one.rejection.key}: ${one.rejection.detail}`)),
      [
        "1f37e75a26b8: Labels.a: must be a string in quotes",
        "good",
        '[2]: Id: "../x" is no id of a container',
        "[3]: must be an object",
      ],
    );
  });

  test("no bytes throw", () => {
    fc.assert(fc.property(fc.uint8Array(), (any) => void judgeContainers(any)));
    fc.assert(fc.property(fc.json(), (any) => void judgeContainers(new TextEncoder().encode(`[${any}]`))));
  });
});

describe("containers as manifests", () => {
  test("labels are a pod's identity, those of tools and images are not", () => {
    const labels = {
      "bulkhead.cluster": "osaka",
      "bulkhead.namespace": "shop",
      "com.docker.compose.service": "cart",
      "com.docker.compose.project.working_dir": "/srv/shop",
      "org.opencontainers.image.title": "a cart, and more",
      maintainer: "Me <me@example.org>",
      app: "cart",
      "policy.bulkhead.io/audit": "true",
      "service.bulkhead.io/prefer": "local",
    };
    const { objects, problems } = containerManifests([container({}, labels)], PLACE);
    assert.deepEqual(problems, []);
    assert.equal(objects.length, 1);
    const [pod] = objects;
    assert.ok(pod?.kind === "Pod");
    assert.deepEqual(
      [pod.namespace, pod.name, pod.nodeName, pod.podIps],
      ["shop", "shop-cart-1", "osk-w1", ["10.77.1.5"]],
    );
    assert.deepEqual(Object.fromEntries(pod.labels), { app: "cart", "bulkhead.service": "cart" });
    assert.equal(pod.annotations.get("policy.bulkhead.io/audit"), "true");
    assert.equal(pod.ready, true);
  });

  test("the project is the namespace where no label says another, default without either", () => {
    for (const [labels, namespace] of [
      [{ "com.docker.compose.project": "books" }, "books"],
      [{ "com.docker.compose.project": "books", "bulkhead.namespace": "shop" }, "shop"],
      [{}, "default"],
    ] as const) {
      const [pod] = containerManifests([container({}, labels)], PLACE).objects;
      assert.ok(pod?.kind === "Pod");
      assert.equal(pod.namespace, namespace);
    }
  });
});

describe("containers behind services", () => {
  test("ports make a service, with annotations and an address by its name", () => {
    const labels = {
      "com.docker.compose.service": "cart",
      "bulkhead.namespace": "shop",
      "bulkhead.ports": "http=80:8080, dns=53/udp",
      "bulkhead.session-affinity": "900",
      "service.cilium.io/global": "true",
      "service.bulkhead.io/prefer": "local",
    };
    const [, service] = containerManifests([container({}, labels)], PLACE).objects;
    assert.ok(service?.kind === "Service");
    assert.equal(`${service.namespace}/${service.name}`, "shop/cart");
    assert.deepEqual(service.ports, [
      { name: "http", port: 80, targetPort: 8080, protocol: "TCP" },
      { name: "dns", port: 53, targetPort: 53, protocol: "UDP" },
    ]);
    assert.deepEqual(Object.fromEntries(service.annotations), {
      "service.cilium.io/global": "true",
      "service.bulkhead.io/prefer": "local",
    });
    assert.equal(service.sessionAffinitySeconds, 900);
    assert.deepEqual(Object.fromEntries(service.selector), { "bulkhead.service": "cart" });
    assert.deepEqual(service.clusterIps, [addressOfName("shop/cart", RANGE)]);
    const asked = { ...labels, "bulkhead.address": "10.9.9.9" };
    const [, placed] = containerManifests([container({}, asked)], PLACE).objects;
    assert.ok(placed?.kind === "Service");
    assert.deepEqual(placed.clusterIps, ["10.9.9.9"]);
  });

  test("a service's labels are those of one that runs, then of the oldest; who differs is told", () => {
    const ports = (port: string) => ({ "bulkhead.service": "cart", "bulkhead.ports": port });
    const stopped = container({ id: "1".repeat(12), name: "a", createdSeconds: 1, addresses: [] }, ports("81"));
    const older = container({ id: "2".repeat(12), name: "b", createdSeconds: 2 }, ports("82"));
    const newer = container({ id: "3".repeat(12), name: "c", createdSeconds: 3 }, ports("83"));
    const { objects, problems } = containerManifests([newer, stopped, older], PLACE);
    const service = objects.find(({ kind }) => kind === "Service");
    assert.ok(service?.kind === "Service");
    assert.equal(service.ports[0]?.port, 82);
    const what =
      "ports, address, session affinity or annotations of Service default/cart differ from those of docker:222222222222";
    const mend = "which count; give all its containers the same labels";
    assert.deepEqual(problems, [`docker:333333333333: ${what}, ${mend}`, `docker:111111111111: ${what}, ${mend}`]);
    const { objects: left } = containerManifests([stopped], PLACE);
    assert.ok(
      left.some(({ kind }) => kind === "Service"),
      "a stopped container still stands for its service",
    );
  });
});

describe("refused with a reason", () => {
  for (const [what, labels, expected] of [
    ["a control character", { app: "a\u0007b" }, /"a\\u0007b" is no label value/],
    ["a value that is too long", { app: "a".repeat(64) }, /is no label value/],
    ["a separator of label strings", { app: "a;k8s:io.cilium.k8s.policy.cluster=tokyo" }, /is no label value/],
    ["a key that is none", { "a b": "c" }, /is no label key/],
    ["a namespace that leads elsewhere", { "bulkhead.namespace": "../../cilium" }, /"..\/..\/cilium" must be a name/],
    ["a label of ours that is not known", { "bulkhead.port": "80" }, /label "bulkhead.port" is not known; use /],
    ["a port that is none", { "bulkhead.service": "a", "bulkhead.ports": "80;81" }, /"80;81" is no port; write/],
    ["a port beyond all", { "bulkhead.service": "a", "bulkhead.ports": "65536" }, /from 0 to 65535/],
    ["a port twice", { "bulkhead.service": "a", "bulkhead.ports": "a=80,b=80" }, /TCP 80 occurs twice/],
    ["ports of nothing", { "bulkhead.ports": "80" }, /names no service; add bulkhead.service/],
    [
      "an address that is none",
      { "bulkhead.service": "a", "bulkhead.ports": "80", "bulkhead.address": "x" },
      /clusterIP/,
    ],
  ] as const) {
    test(what, () => {
      const line = refusal(labels);
      assert.match(line, expected);
      assert.match(line, /^docker:1f37e75a26b8: container "shop_cart_1": /);
      assert.match(line, /; it is no endpoint until it was made again with other labels$/);
      assert.match(line, /^[\x20-\x7e]+$/, "one printable line");
    });
  }

  test("a name that is none", () => assert.match(refusal({}, { name: "a." }), /must be a name/));

  test("one that is refused disturbs no other", () => {
    const bad = container({ id: "2".repeat(12), name: "bad" }, { app: "a b" });
    const { objects, problems } = containerManifests([bad, container()], PLACE);
    assert.equal(objects.length, 1);
    assert.equal(problems.length, 1);
  });
});

describe("services of containers that ask for no address", () => {
  const serving = (name: string, index: number, labels: Readonly<Record<string, string>> = {}) => {
    const own = { "bulkhead.service": name, "bulkhead.ports": "80", ...labels };
    return container({ id: `${index}`.padStart(12, "0"), name, createdSeconds: index }, own);
  };
  const TINY = { node: "osk-w1", serviceCidr: parseCidr("10.140.0.4/30") };

  test("who comes when the range is full has none, is told so and still stands for its containers", () => {
    const two = containerManifests([serving("b", 1), serving("c", 2)], TINY);
    assert.deepEqual([...two.addresses.given.values()].sort(), ["10.140.0.5", "10.140.0.6"]);
    assert.deepEqual(two.problems, []);
    const three = containerManifests([serving("a", 0), serving("b", 1), serving("c", 2)], TINY, two.addresses.given);
    assert.deepEqual(three.addresses.given, two.addresses.given, "the others keep theirs, though it is older");
    assert.deepEqual(three.problems, [
      "docker:000000000000: Service default/a has no address: all are given; make --docker-service-cidr 10.140.0.4/30 larger, or give the service a label bulkhead.address",
    ]);
    const refused = three.objects.find((object) => object.kind === "Service" && object.name === "a");
    assert.ok(refused?.kind === "Service");
    assert.deepEqual(refused.clusterIps, []);
    const { problems } = containerManifests(
      [serving("a", 0, { "bulkhead.address": "10.9.9.9" }), serving("b", 1)],
      TINY,
    );
    assert.deepEqual(problems, [], "one that asks needs no room");
  });

  test("an address that a label asks for is given to nobody else", () => {
    const { given } = containerManifests([serving("a", 1)], PLACE).addresses;
    const [address = ""] = given.values();
    const asking = serving("z", 2, { "bulkhead.address": address });
    const { addresses, problems } = containerManifests([serving("a", 1), asking], PLACE, given);
    assert.equal(problems.length, 0);
    assert.notEqual(addresses.given.get("default/a"), address);
    assert.match(addresses.moved.join(), /default\/a has .* the address of its name, is default\/z's/);
  });
});
