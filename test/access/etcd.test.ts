import assert from "node:assert/strict";
import { test } from "node:test";
import { AccessError, connectAs, openLocalEtcd } from "../../src/access/etcd.ts";
import { MemoryDisk } from "../../src/disk/memory.ts";
import type { ConnectOptions, KvClient } from "../../src/kv/client.ts";
import { UserError } from "../../src/runtime/user-error.ts";

const FILE = "/etc/bulkhead/etcd.yaml";
const settings = { etcdConfig: FILE, etcdTimeoutMs: 1000, etcdKeepaliveMs: 5000, etcdKeepaliveTimeoutMs: 1000 };
const open = (given: ReturnType<typeof doors>): Promise<KvClient> => openLocalEtcd(given, settings);

function doors(files: Readonly<Record<string, string>>, refuse?: string) {
  const disk = new MemoryDisk();
  for (const [path, text] of Object.entries(files)) disk.put(path, text);
  const asked: ConnectOptions[] = [];
  const connect = (options: ConnectOptions): KvClient => {
    if (refuse !== undefined) throw new UserError(refuse);
    asked.push(options);
    return { close() {} } as KvClient;
  };
  return { disk, connect, asked };
}

test("endpoints, certificates and timeouts reach the door as values", async () => {
  const yaml =
    "endpoints: [https://10.0.0.1:2379]\ntrusted-ca-file: /tls/ca\ncert-file: /tls/crt\nkey-file: /tls/key\n";
  const given = doors({ [FILE]: yaml, "/tls/ca": "CA", "/tls/crt": "CRT", "/tls/key": "KEY" });
  await open(given);
  const [options] = given.asked;
  assert.deepEqual(options?.endpoints, ["https://10.0.0.1:2379"]);
  assert.deepEqual(
    [options?.ca, options?.cert, options?.key].map(String),
    ["CA", "CRT", "KEY"].map((text) => String(Buffer.from(text).toJSON().data)),
  );
  assert.equal(options?.timeoutMs, 1000);
});

test("a missing file, a missing certificate, bad YAML and senseless endpoints are one line that names the file", async () => {
  const refusal = async (files: Readonly<Record<string, string>>, pattern: RegExp, refuse?: string): Promise<void> => {
    await assert.rejects(open(doors(files, refuse)), (error) => {
      assert(error instanceof UserError);
      assert.match(error.message, pattern);
      assert(error.message.startsWith("--etcd-config "));
      assert(!error.message.includes("\n"));
      return true;
    });
  };
  const good = "endpoints: [http://10.0.0.1:2379]\n";
  await refusal({}, /etcd\.yaml/);
  await refusal({ [FILE]: `${good}trusted-ca-file: /tls/ca\n` }, /etcd\.yaml.*\/tls\/ca/);
  await refusal({ [FILE]: "endpoints: {" }, /etcd\.yaml/);
  await refusal({ [FILE]: "endpoints: []\n" }, /etcd\.yaml/);
  await refusal({ [FILE]: good }, /etcd\.yaml: mixed schemes/, "mixed schemes");
});

test("a remote's config that cannot be used may be mended while we run", async () => {
  const timeouts = { timeoutMs: 1000, keepaliveMs: 5000, keepaliveTimeoutMs: 1000 };
  const refused = connectAs(doors({}), "/remotes/osaka", "endpoints: []", timeouts);
  await assert.rejects(refused, (error) => error instanceof AccessError && error.retryable);
});
