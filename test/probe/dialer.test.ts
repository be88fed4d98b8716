/** The real door on the loopback: what counts as an answer. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { outcomeOf, systemDialer } from "../../src/probe/system-dialer.ts";
import { type Clock, systemClock } from "../../src/runtime/clock.ts";
import { freePort } from "../support/free-port.ts";

const never = new AbortController().signal;
const dialer = systemDialer(systemClock);
const LONG_MS = 30_000;

test("a server that accepts is connected with, a closed port refuses: both are answers", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  assert.equal(await dialer.dial({ address: "127.0.0.1", port }, LONG_MS, never), "connected");
  server.close();
  assert.equal(await dialer.dial({ address: "127.0.0.1", port: await freePort() }, LONG_MS, never), "refused");
});

test("no answer in time is silence, and so is the end of the program", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const target = { address: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const impatient: Clock = {
    ...systemClock,
    breathe: () => Promise.resolve(),
    after(_, action) {
      queueMicrotask(action);
      return { cancel() {} };
    },
  };
  assert.equal(await systemDialer(impatient).dial(target, LONG_MS, never), "silent");
  assert.equal(await dialer.dial(target, LONG_MS, AbortSignal.abort()), "silent");
  assert.equal(await dialer.dial(target, LONG_MS, never), "connected");
  server.close();
});

test("an answer that arrived while the program was held up beyond the time counts", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const target = { address: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const dialed = dialer.dial(target, 1, never);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  assert.equal(await dialed, "connected");
  server.close();
});

test("what is wrong with this node says nothing of the path; no way there does", () => {
  for (const code of ["EMFILE", "EADDRNOTAVAIL", undefined]) assert.equal(outcomeOf(code), "untried");
  for (const code of ["EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EINVAL"]) assert.equal(outcomeOf(code), "silent");
});
