/** From flags and files to a connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type NatsSettings, openNats } from "../../src/access/nats.ts";
import { commonSettings } from "../../src/access/settings.ts";
import type { BusOptions, BusSecrets } from "../../src/bus/client.ts";
import { MemoryNats } from "../../src/bus/memory.ts";
import { type MemoryDisk, memoryDisk } from "../../src/disk/memory.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { readSettings, settingsSchema } from "../../src/runtime/settings.ts";
import { UserError } from "../../src/runtime/user-error.ts";

const EMITTER = { cluster: "osaka", program: "agent", instance: "n1" };
const FILES = { "/s/ca": "CA", "/s/cert": "CERT", "/s/key": "KEY", "/s/password": "secret word\n", "/s/creds": "JWT" };
const schema = settingsSchema(commonSettings);

function settingsOf(flags: readonly string[]): NatsSettings {
  return readSettings("agent", schema, ["--cluster", "osaka", "--cluster-id", "2", "--etcd-config", "/e", ...flags]);
}

async function opened(...flags: readonly string[]): Promise<(Omit<BusOptions, "secrets"> & BusSecrets) | undefined> {
  return (await openedOn(memoryDisk(FILES), flags))();
}

/** What a connection of that moment would be made of. */
async function openedOn(disk: MemoryDisk, flags: readonly string[]) {
  let given: BusOptions | undefined;
  const connect = (options: BusOptions) => {
    given = options;
    return new MemoryNats(systemClock).client();
  };
  const bus = await openNats({ disk, connect }, settingsOf(flags), EMITTER);
  assert.equal(bus === undefined, given === undefined);
  return async () => {
    if (given === undefined) return undefined;
    const { secrets, ...options } = given;
    return { ...options, ...(await secrets?.()) };
  };
}

async function refusal(...flags: readonly string[]): Promise<string> {
  try {
    await opened(...flags);
  } catch (error) {
    assert(error instanceof UserError);
    assert(!error.message.includes("\n"));
    return error.message;
  }
  return assert.fail(`accepted ${flags.join(" ")}`);
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const URL_FLAGS = ["--nats-url", "tls://a:4222,tls://[::1]:4223"];

test("without --nats-url nothing is connected", async () => assert.equal(await opened(), undefined));

test("servers, certificates and a password from files", async () => {
  const files = ["--nats-ca-file", "/s/ca", "--nats-cert-file", "/s/cert", "--nats-key-file", "/s/key"];
  const user = ["--nats-user", "u", "--nats-password-file", "/s/password"];
  assert.deepEqual(await opened(...URL_FLAGS, ...files, ...user, "--nats-timeout-ms", "70"), {
    servers: ["tls://a:4222", "tls://[::1]:4223"],
    name: "bulkhead osaka/agent n1",
    ca: bytes("CA"),
    cert: bytes("CERT"),
    key: bytes("KEY"),
    user: "u",
    password: "secret word",
    timeoutMs: 70,
    pingIntervalMs: 10_000,
  });
});

test("files are read again for each connection; one that is gone is said by its flag", async () => {
  const disk = memoryDisk(FILES);
  const secrets = await openedOn(disk, [
    "--nats-url",
    "nats://a:1",
    "--nats-user",
    "u",
    "--nats-password-file",
    "/s/password",
  ]);
  assert.equal((await secrets())?.password, "secret word");
  disk.put("/s/password", "renewed");
  assert.equal((await secrets())?.password, "renewed");
  disk.remove("/s/password");
  await assert.rejects(secrets(), /^UserError: --nats-password-file .*\/s\/password/);
});

test("a credentials file", async () => {
  const given = await opened("--nats-url", "nats://a:1", "--nats-creds-file", "/s/creds");
  assert.deepEqual(given?.credentials, bytes("JWT"));
});

test("what makes no sense is one line that names the flag", async () => {
  assert.match(await refusal("--nats-url", "http://a"), /^--nats-url "http:\/\/a": .* must be nats:\/\/HOST:PORT/);
  assert.match(await refusal("--nats-url", "nats://u:p@a:1"), /--nats-password-file/);
  assert.match(await refusal("--nats-user", "u"), /^--nats-url is missing/);
  assert.match(await refusal(...URL_FLAGS, "--nats-cert-file", "/s/cert"), /^--nats-cert-file and --nats-key-file/);
  assert.match(await refusal(...URL_FLAGS, "--nats-user", "u"), /^--nats-user and --nats-password-file/);
  const both = ["--nats-user", "u", "--nats-password-file", "/s/password", "--nats-creds-file", "/s/creds"];
  assert.match(await refusal(...URL_FLAGS, ...both), /^--nats-user and --nats-creds-file/);
  assert.match(await refusal("--nats-url", "nats://a:1", "--nats-ca-file", "/s/ca"), /^--nats-url must be tls:/);
  assert.match(await refusal(...URL_FLAGS, "--nats-ca-file", "/s/none"), /^--nats-ca-file .*\/s\/none/);
});
