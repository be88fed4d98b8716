// Loading: the verifier accepts our objects, and whatever does not fit is refused with a line that says what and leaves nothing.
import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KernelError, type LoadRequest } from "../../src/kernel/door.ts";
import { ENDPOINT_OBJECT, type ObjectLayout, SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { kernel, loadRequest, run, Stage } from "./stage.ts";

let stage: Stage;

before(() => {
  stage = new Stage();
});

after(() => stage.close());

/** In the order of loading; maps of one name are shared. */
const OBJECTS = [SOCK_LB_OBJECT, ENDPOINT_OBJECT];

for (const [index, object] of OBJECTS.entries()) {
  test(`${object.file} loads, has the maps and structs of src/maps, and pins its maps`, async () => {
    const loaded = await stage.load(object);
    const before = new Set(OBJECTS.slice(0, index).flatMap(({ maps }) => maps.map(({ name }) => name)));
    const shared = object.maps.map(({ name }) => name).filter((name) => before.has(name));
    assert.deepEqual([...loaded.adopted].sort(), shared.sort());
    assert.deepEqual(
      [...loaded.families.keys()],
      (object.families ?? []).map(({ name }) => name),
    );
    assert.deepEqual([...loaded.rings.keys()], object.rings ?? []);
    for (const layout of object.maps) {
      const map = loaded.maps.get(layout.name);
      assert.equal(map?.keySize, layout.key.sizeBytes);
      assert.equal(map?.valueSize, layout.value.sizeBytes);
      assert(existsSync(join(stage.pins, `${layout.name}_v1`)));
    }
    assert.deepEqual(Object.keys(await loaded.attachCgroup(stage.cgroup)), object.programs);
  });
}

function refusal(request: LoadRequest, kind: new (...args: never[]) => Error, message: RegExp): Promise<void> {
  return assert.rejects(kernel.load(request), (error) => {
    assert(error instanceof kind, String(error));
    assert.match(error.message, message);
    return true;
  });
}

/** The object's layouts with one thing changed. */
function altered(change: (object: ObjectLayout) => Partial<ObjectLayout>): LoadRequest {
  return loadRequest({ ...SOCK_LB_OBJECT, ...change(SOCK_LB_OBJECT) }, join(stage.pins, "refused"));
}

const [services, ...others] = SOCK_LB_OBJECT.maps;
assert(services !== undefined);
const { key, value } = services;

const MISFITS: readonly { what: string; request: () => LoadRequest; message: RegExp }[] = [
  {
    what: "a field at another offset",
    request: () => {
      const fields = key.fields.map((field) => (field.name === "slot" ? { ...field, offset: 20 } : field));
      return altered(() => ({ maps: [{ ...services, key: { ...key, fields } }, ...others] }));
    },
    message: /struct service_key has slot at 18 of 2 bytes in the object, slot at 20 of 2 bytes is expected/,
  },
  {
    what: "a field too few",
    request: () =>
      altered(() => ({ maps: [{ ...services, key: { ...key, fields: key.fields.slice(0, -1) } }, ...others] })),
    message: /struct service_key has pad at 21 of 3 bytes in the object, nothing more is expected/,
  },
  {
    what: "another size",
    request: () => altered(() => ({ maps: [{ ...services, value: { ...value, sizeBytes: 12 } }, ...others] })),
    message: /struct service_value has 8 bytes in the object, 12 are expected/,
  },
  {
    what: "another struct",
    request: () => altered(() => ({ maps: [{ ...services, value: { ...value, name: "backend_value" } }, ...others] })),
    message: /struct backend_value is expected, but the object has service_value/,
  },
  { what: "a map too many", request: () => altered(() => ({ maps: others })), message: /map services is not expected/ },
  {
    what: "a map too few",
    request: () => altered((object) => ({ maps: [...object.maps, { ...services, name: "affinity" }] })),
    message: /map affinity is expected, but the object has none/,
  },
  {
    what: "another enum",
    request: () =>
      altered(() => ({ enums: [{ name: "metric_reason", values: [{ name: "METRIC_OTHER", value: 0 }] }] })),
    message: /enum metric_reason has METRIC_TRANSLATED = 0 in the object, METRIC_OTHER = 0 is expected/,
  },
];

for (const { what, request, message } of MISFITS) {
  test(`${what} is refused before anything is loaded`, async () => {
    await refusal(request(), KernelError, message);
    assert(!existsSync(join(stage.pins, "refused")));
  });
}

test("a program that the verifier refuses is refused with the verifier's reason, and pins nothing", async () => {
  const source = join(stage.temporary, "bad.bpf.c");
  const objectPath = join(stage.temporary, "bad.bpf.o");
  writeFileSync(
    source,
    `#include <linux/bpf.h>
     #include <bpf/bpf_helpers.h>
     struct bad_key { __u32 id; };
     struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1);
       __type(key, struct bad_key); __type(value, struct bad_key); } bad SEC(".maps");
     char LICENSE[] SEC("license") = "Dual BSD/GPL";
     SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *context)
     { struct bad_key key = {}; struct bad_key *value = bpf_map_lookup_elem(&bad, &key); return value->id & 1; }`,
  );
  const include = `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  run("clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", include, "-c", source, "-o", objectPath);
  const struct = { name: "bad_key", sizeBytes: 4, fields: [{ name: "id", offset: 0, sizeBytes: 4 }] };
  const object = { ...SOCK_LB_OBJECT, maps: [{ name: "bad", key: struct, value: struct }], enums: [] };
  const pins = join(stage.pins, "bad");
  await refusal(
    { ...loadRequest(object, pins), objectPath },
    KernelError,
    /EACCES[\s\S]*R0 invalid mem access 'map_value_or_null'/,
  );
  assert.deepEqual(readdirSync(pins), []);
});

test("a missing object, a directory without a BPF file system and one without cgroups are a person's mistakes", async () => {
  const missing = { ...SOCK_LB_OBJECT, file: "missing.bpf.o" };
  await refusal(loadRequest(missing, stage.pins), UserError, /missing\.bpf\.o cannot be opened.*ENOENT.*deploy\/setup/);
  const plain = join(stage.temporary, "plain", "pins");
  await refusal(loadRequest(SOCK_LB_OBJECT, plain), UserError, /plain\/pins is not on a BPF file system; mount one/);
  assert(!existsSync(join(stage.temporary, "plain")));
  const loaded = await stage.load();
  await assert.rejects(loaded.attachCgroup(stage.temporary), /is not in a cgroup2 tree/);
  await assert.rejects(loaded.attachCgroup(join(stage.temporary, "nowhere")), /does not exist/);
});

test("a closed object's maps refuse, instead of touching whatever has their descriptor now", async () => {
  const loaded = await stage.load(SOCK_LB_OBJECT);
  loaded.close();
  loaded.close();
  await assert.rejects(loaded.maps.get("services")?.dump() ?? Promise.resolve(), /services was closed: EBADF/);
});
