import assert from "node:assert/strict";
import { test } from "node:test";
import type { MirrorStatus, RemoteStatus } from "../../src/model/status.ts";
import { remotesText, verdict } from "../../src/report/remotes.ts";
import { statusText } from "../../src/report/status.ts";
import { followed, listing, lost, unreached } from "./remote-examples.ts";
import { agent, base } from "./status-examples.ts";

const mirror = (remotes: readonly RemoteStatus[]): MirrorStatus => ({
  ...base,
  program: "kvstoremesh",
  leader: true,
  queued: 0,
  remotes,
});

test("a remote that is followed", () => {
  assert.equal(
    remotesText([agent("n1"), mirror([followed])]),
    `osaka, as amsterdam sees it
  state     followed; the cache is its state as of 420 ms ago
  phase     watching, connected, breaker closed
  config    id 2, its own state, canaries, service exports on, endpoint slices services-and-endpointslices
  etcd      cluster 9f3ac1d02b7e4455
  failures  0 connections lost, 0 tries failed
  set aside 0 refused, 0 parked
  KIND            ENTRIES  READ  SYNCED  REFUSED  HELD
  nodes           3        yes   yes     0        0
  identities      40       yes   yes     0        0
  ip              5003     yes   yes     0        0
  services        301      yes   yes     0        0
  endpointslices  12       yes   yes     0        0
  serviceexports  7        yes   yes     0        0`,
  );
});

test("a remote that was lost says when, why and how old its state is; remote text does nothing to the terminal", () => {
  const hold = {
    kind: "services",
    state: "held",
    keys: 3,
    withdrawals: 90,
    ageMs: 61_000,
    example: "shop/cart",
  } as const;
  const text = remotesText([mirror([{ ...lost, holds: [{ ...hold, confirmsInMs: 5_000 }], heartbeatSilent: true }])]);
  for (const line of [
    "  state     not followed just now; the cache is its state as of 42.1 s ago (suspect)",
    "  phase     connecting, not connected, breaker open",
    "  config    id 3, behind a kvstoremesh, canaries, service exports not known to it, endpoint slices off",
    "  etcd      cluster 7, no heartbeat",
    "  failures  2 connections lost (last 2026-11-22T17:50:34.786Z), 3 tries failed, last failure 2026-11-22T17:51:02.005Z",
    "  set aside 2 refused, 1 parked",
    "  held      services held for 61.0 s, confirmable in 5.0 s: 90 withdrawals, 3 keys, such as shop/cart",
    "  error     connect refused\\u001b[2J",
  ]) {
    assert(text.split("\n").includes(line), `${line}\n${text}`);
  }
  assert.match(text, /^ {2}ip +20 +yes +yes +2 +0$/m);
  assert.match(text, /^ {2}services +4 +yes +yes +0 +3$/m);
});

test("what was not counted yet is no 0: of the kind, and of all together", () => {
  const { ip: _, ...entries } = followed.entries;
  const remotes = [mirror([{ ...followed, entries }])];
  const text = remotesText(remotes);
  assert.match(text, /^ {2}ip +unknown +yes +yes +0 +0$/m);
  assert.match(text, /^ {2}services +301 +yes +yes +0 +0$/m);
  assert.match(statusText(remotes), /osaka +watching +yes +yes +unknown +420 ms \(fresh\)/);
});

test("one that was never reached, and one without a configuration file", () => {
  const text = remotesText([mirror([unreached, { ...lost, configured: false }])]);
  assert.match(text, /^ {2}state {5}unproven: nothing says yet that the cache is this cluster's state$/m);
  assert.match(text, /^ {2}config {4}not known yet$/m);
  assert.match(text, /endpoint slices off, no configuration file$/m);
});

test("I12: nothing but a proven, complete, watched, fresh remote is called followed", () => {
  assert.match(verdict(followed), /^followed/);
  const { ageMs: _, ...unproven } = followed;
  for (const remote of [
    { ...unproven, grade: "unproven" as const },
    { ...followed, connected: false },
    { ...followed, phase: "listing" as const },
    { ...followed, synced: false },
    { ...followed, grade: "suspect" as const },
    { ...followed, grade: "stale" as const },
    listing,
    unreached,
    lost,
  ]) {
    assert.doesNotMatch(verdict(remote), /^followed/, JSON.stringify(remote));
  }
});

test("I12: status calls nothing synced that was never proven, and says how old a proof is", () => {
  const row = (remote: RemoteStatus): string => statusText([mirror([remote])]).split("\n")[3] ?? "";
  assert.match(row(followed), /osaka +watching +yes +yes +5366 +420 ms \(fresh\)/);
  const { ageMs: _, ...unproven } = followed;
  assert.match(row({ ...unproven, grade: "unproven" }), /osaka +watching +yes +no +5366 +unproven \(unproven\)/);
  assert.match(row(lost), /virginia +connecting +no +yes +35 +42\.1 s \(suspect\)/);
  assert.match(row({ ...followed, synced: false }), /osaka +watching +yes +no /);
});

test("a standby says that it follows nobody; no mirror, and no remote, are said", () => {
  assert.match(
    remotesText([{ ...mirror([lost]), leader: false }]),
    /as amsterdam \(a standby, which follows nobody\) sees it/,
  );
  assert.equal(remotesText([mirror([])]), "amsterdam: no remote is configured");
  assert.equal(remotesText([agent("n1")]), "no kvstoremesh answers here");
});
