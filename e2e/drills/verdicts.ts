/** What becomes of a drill, on a lab that is up: told, false, aborted, refused, undone when its drilld was killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { command, inNetns } from "../../deploy/lab/command.ts";
import { restartDrills } from "../../deploy/lab/drills.ts";
import { etcdctl } from "../../deploy/lab/etcd.ts";
import { Lab, waitFor } from "../../deploy/lab/lab.ts";
import { type ClusterPlan, clusterPlan, type LabPlan } from "../../deploy/lab/plan.ts";
import { drilldId, drilldStatus, meshEvents, mirrorStatus } from "../../deploy/lab/programs.ts";
import { waitForServing } from "../../deploy/lab/serving.ts";
import { FAULTS_PATH, MARKER_KEY } from "../../src/model/drill.ts";
import { tellSocket } from "../../src/serve/ask.ts";
import { drill, drillReport, writeDrill } from "../drill.ts";

const WITHIN_MS = 30_000;

/** Registers the tests; the first must be the first drill of its mesh. */
export function drillVerdicts(lab: () => LabPlan): void {
  test("a drill: a dry run says what would be done, a run does it, and the whole mesh hears of it", () =>
    commandTells(lab()));
  test("a drill whose hypothesis is false fails, and one whose connections fail is aborted by its guard", () =>
    falseAndAborted(lab()));
  test("drilld refuses what is not on its list, and undoes when it was killed in the middle of a drill", () =>
    refusedAndUndone(lab()));
}

async function commandTells(lab: LabPlan): Promise<void> {
  const dry = await drill(lab, "kill-remote", ["--dry-run"]);
  assert.equal(dry.code, 0, dry.err);
  assert.match(dry.out, /^ {2}do {4}send SIGKILL to the process of .*osaka\.etcd\.pid, if it is etcd --name osaka/m);
  assert.match(dry.out, /^ {2}undo {2}start, unless /m);
  const report = await drillReport(lab, "kill-remote");
  assert.equal(report.verdict, "passed", JSON.stringify(report, null, 2));
  assert(report.connections.made > 0 && report.entries.before > 0 && report.detectMs !== undefined);
  await waitFor("it is told", WITHIN_MS, async () => {
    const lines = (await meshEvents(lab)).filter(({ kind }) => kind === "drill").map(({ line }) => line);
    return lines.at(-1) === "drill kill-remote passed" && lines[0]?.startsWith("drill kill-remote begins")
      ? true
      : undefined;
  });
}

async function falseAndAborted(lab: LabPlan): Promise<void> {
  const asleep = await drillReport(lab, writeDrill("asleep", { fault: "freeze", target: "agent-1", for: "1s" }));
  assert.equal(asleep.verdict, "failed");
  assert.deepEqual(
    asleep.checks.filter(({ held }) => !held).map(({ what }) => what),
    ["detect"],
  );
  const cut = await drillReport(lab, writeDrill("cut", { fault: "link-down", target: "link", for: "20s" }));
  assert.equal(cut.verdict, "aborted");
  assert.match(cut.reason ?? "", /^\d+ connections failed, and the guard allows 5$/);
  assert(cut.tookMs < 20_000, "it did not wait for its end");
  await waitForServing(Lab.open(lab, "up"));
}

async function refusedAndUndone(lab: LabPlan): Promise<void> {
  const whole = Lab.open(lab, "up");
  const [amsterdam, osaka] = ["amsterdam", "osaka"].map((name) => clusterPlan(lab, name)) as [ClusterPlan, ClusterPlan];
  const socket = join(osaka.directory, "drilld.sock");
  const begin = (fault: string, target: string) =>
    tellSocket(socket, FAULTS_PATH, { run: "e2e", fault, target, undoAfterMs: 60_000, dryRun: false }, WITHIN_MS);
  await assert.rejects(
    begin("wipe", "link"),
    /wipe of link is not on the allow-list of this drilld; allowed: flap, link-down/,
  );
  await etcdctl(osaka, ["del", MARKER_KEY]);
  await assert.rejects(begin("wipe", "etcd"), /wipe of etcd is refused: the etcd of .* has no key bulkhead\/v1\/lab/);
  await etcdctl(osaka, ["put", MARKER_KEY, "again"]);
  const rules = () => command(inNetns(osaka.nodes[0]?.netns ?? "", ["nft", "list", "ruleset"]));
  await begin("blackhole", "etcd-port");
  assert.match(await rules(), /tcp dport 2379 drop/);
  await whole.kill(drilldId(osaka));
  assert.match(await rules(), /tcp dport 2379 drop/, "who could undo it is dead");
  await restartDrills(whole);
  await waitFor("it is undone", WITHIN_MS, async () => ((await rules()).includes("2379") ? undefined : true));
  await waitFor("nothing lasts", WITHIN_MS, async () =>
    (await drilldStatus(osaka))?.lasting.length === 0 ? true : undefined,
  );
  await waitFor("amsterdam is in touch again", 2 * WITHIN_MS, async () => {
    const status = (await mirrorStatus(amsterdam))?.remotes.find(({ name }) => name === "osaka");
    return status?.synced && status.breaker === "closed" && status.grade === "fresh" ? true : undefined;
  });
}
