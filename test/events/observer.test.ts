/** What two looks at a program make of the difference. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Observer, type Seen } from "../../src/events/observer.ts";
import type { EventDraft } from "../../src/model/event.ts";
import type { DataPath, HealthDecision } from "../../src/model/health.ts";
import type { HoldStatus, RemoteStatus } from "../../src/model/status.ts";
import { followed } from "../report/remote-examples.ts";

const hold: HoldStatus = { kind: "ip", state: "held", keys: 60, withdrawals: 60, ageMs: 1, example: "10.2.1.1" };

const short = ({ kind, remote, severity, line }: EventDraft): string => `${severity} ${kind} ${remote ?? "-"}: ${line}`;

class Watched {
  readonly observer = new Observer("kvstoremesh");
  nowMs = 0;

  look(seen: Partial<Seen>): readonly string[] {
    return this.observer.look({ leader: true, problems: [], ...seen }, this.nowMs).map(short);
  }

  remote(...changes: readonly Partial<RemoteStatus>[]): readonly string[] {
    return this.look({ remotes: changes.map((change) => ({ ...followed, ...change })) });
  }
}

/** A leader that knows osaka well. */
function settled(): Watched {
  const watched = new Watched();
  watched.remote({});
  return watched;
}

test("the first look: a leader, and a remote that is fresh for the first time", () => {
  const watched = new Watched();
  assert.deepEqual(watched.remote({}), [
    "info leader -: kvstoremesh leads",
    "info grade osaka: osaka: state is fresh, was unproven",
  ]);
  assert.deepEqual(watched.remote({}), []);
});

test("a breaker: opened and closed are told, half-open is not", () => {
  const watched = settled();
  const lastError = "connect ECONNREFUSED";
  assert.deepEqual(watched.remote({ breaker: "open", lastError }), [
    "warning breaker osaka: osaka: breaker opened: connect ECONNREFUSED; what is cached of it stays",
  ]);
  for (const breaker of ["half-open", "open", "half-open"] as const) assert.deepEqual(watched.remote({ breaker }), []);
  assert.deepEqual(watched.remote({}), ["info breaker osaka: osaka: breaker closed, it answers again"]);
});

test("a grade: each change, the worse the more severe", () => {
  const watched = settled();
  const said = (["suspect", "stale", "stale", "fresh"] as const).flatMap((grade) => watched.remote({ grade }));
  assert.deepEqual(said, [
    "warning grade osaka: osaka: state is suspect, was fresh",
    "error grade osaka: osaka: state is stale, was suspect",
    "info grade osaka: osaka: state is fresh, was stale",
  ]);
});

test("a hold: made, discarded, over", () => {
  const watched = settled();
  const said = [
    ...watched.remote({ holds: [hold] }),
    ...watched.remote({ holds: [{ ...hold, keys: 61, ageMs: 1_001 }] }),
    ...watched.remote({ holds: [{ ...hold, state: "discarded" }] }),
    ...watched.remote({ holds: [] }),
  ];
  assert.deepEqual(said, [
    "warning hold osaka: osaka: 60 withdrawals of ip (60 keys) are held",
    "info hold osaka: osaka: 60 withdrawals of ip (60 keys) are discarded",
    "info hold osaka: osaka: nothing of ip is held any more",
  ]);
});

test("a removal: begun and done; a remote that merely is not there any more is not said to be removed", () => {
  const watched = settled();
  assert.deepEqual(watched.remote({ phase: "draining" }), [
    "warning removal osaka: osaka: is being removed: its state is taken out of the cache",
  ]);
  assert.deepEqual(watched.remote(), ["info removal osaka: osaka: removed"]);
  watched.remote({});
  assert.deepEqual(watched.remote(), []);
});

test("a drain: ordered, arrived, ordered back, back; steps are no news, and a standby knows nothing of it", () => {
  const watched = new Watched();
  watched.look({});
  const at = (weight: number, target: number, leader = true) =>
    watched.look({ leader, drains: [{ cluster: "osaka", weight, target }] });
  assert.deepEqual(at(100, 0), ["warning drain -: osaka: weight 100 of 100, on its way to 0"]);
  assert.deepEqual(at(50, 0), []);
  assert.deepEqual(at(0, 0), ["warning drain -: osaka: weight 0 of 100"]);
  assert.deepEqual(watched.look({ leader: false }), ["warning leader -: kvstoremesh does not lead any more"]);
  watched.look({ leader: true, drains: [{ cluster: "osaka", weight: 0, target: 0 }] });
  assert.deepEqual(at(0, 100), ["info drain -: osaka: weight 0 of 100, on its way to 100"]);
  assert.deepEqual(watched.look({}), ["info drain -: osaka: weight 100 of 100"]);
});

test("a remote that is refused is a problem, once", () => {
  const watched = settled();
  const refused = { phase: "refused", lastError: "cluster id 1 is our own" } as const;
  assert.deepEqual(watched.remote(refused), ["error problem osaka: osaka: refused: cluster id 1 is our own"]);
  assert.deepEqual(watched.remote(refused), []);
});

test("who does not lead knows nothing of remotes: what it says of them is no change", () => {
  const watched = settled();
  const nothing = { ...followed, grade: "unproven", phase: "idle" } as const;
  assert.deepEqual(watched.look({ leader: false, remotes: [nothing] }), [
    "warning leader -: kvstoremesh does not lead any more",
  ]);
  assert.deepEqual(watched.look({ leader: false, remotes: [] }), []);
  assert.deepEqual(watched.remote({}), ["info leader -: kvstoremesh leads"]);
});

test("a rejection is told once for each remote and reason in ten minutes", () => {
  const watched = settled();
  const remotes = [followed];
  const one = { remote: "osaka", reason: "malformed", key: "cilium/state/ip/v1/osaka/x", detail: "is no JSON" };
  const other = { ...one, reason: "foreign-address" };
  assert.deepEqual(watched.look({ remotes, rejections: [one] }), [
    "warning rejection osaka: osaka: a value was refused: malformed: cilium/state/ip/v1/osaka/x: is no JSON",
  ]);
  assert.equal(watched.look({ remotes, rejections: [one, other] }).length, 1);
  for (let look = 0; look < 100; look++) {
    watched.nowMs += 1_000;
    assert.deepEqual(watched.look({ remotes, rejections: look % 2 ? [one, other] : [] }), []);
  }
  watched.nowMs += 600_000;
  assert.equal(watched.look({ remotes, rejections: [one, other] }).length, 2);
});

test("problems appear and vanish; one whose numbers grow is the same", () => {
  const watched = new Watched();
  watched.look({});
  const line = (seconds: number): string => `the etcd has refused writes for ${seconds} s`;
  assert.deepEqual(watched.look({ problems: [line(1)] }), [`warning problem -: ${line(1)}`]);
  assert.deepEqual(watched.look({ problems: [line(2)] }), []);
  assert.deepEqual(watched.look({ problems: [line(2), "pod1 is wrong", "pod2 is wrong"] }), [
    "warning problem -: pod1 is wrong",
    "warning problem -: pod2 is wrong",
  ]);
  assert.deepEqual(watched.look({ problems: ["pod2 is wrong"] }), [
    `info problem -: no more: ${line(1)}`,
    "info problem -: no more: pod1 is wrong",
  ]);
  assert.deepEqual(watched.look({ problems: ["pod1 is wrong"] }), ["info problem -: no more: pod2 is wrong"]);
});

test("many problems at once are told in part", () => {
  const watched = new Watched();
  watched.look({});
  const problems = Array.from({ length: 500 }, (_, at) => `file-${at} is bad`);
  const said = watched.look({ problems });
  assert.equal(said.length, 21);
  assert.match(said.at(-1) ?? "", /480 more problems/);
  assert.deepEqual(watched.look({ problems }), []);
});

test("data paths: one that dies and comes back is told, and so is a node that suspects itself; one that begins to be known is not", () => {
  const watched = settled();
  const osaka = (dataPath: DataPath, decision: HealthDecision, suspectsItself = false): Partial<Seen> => {
    const found = {
      cluster: "osaka",
      clusterId: 2,
      sinceMs: 0,
      targets: 1,
      answered: 0,
      controlPlane: "talking" as const,
    };
    return { health: { suspectsItself, remotes: [{ ...found, dataPath, decision }] } };
  };
  assert.deepEqual(watched.look(osaka("unknown", "normal")), []);
  assert.deepEqual(watched.look(osaka("alive", "normal")), []);
  assert.deepEqual(watched.look(osaka("dead", "demote")), [
    "error health osaka: osaka: data path dead: its backends serve only where there are no others",
  ]);
  assert.deepEqual(watched.look(osaka("dead", "demote")), []);
  assert.deepEqual(watched.look(osaka("dead", "normal", true)), [
    "error health -: this node lost most remotes at once and suspects itself: it demotes none",
    "warning health osaka: osaka: data path dead: its backends serve as always",
  ]);
  assert.deepEqual(watched.look(osaka("alive", "normal")), [
    "info health -: this node does not suspect itself any more",
    "info health osaka: osaka: data path alive: its backends serve as always",
  ]);
});
