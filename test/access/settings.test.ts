import assert from "node:assert/strict";
import { test } from "node:test";
import { commonSettings } from "../../src/access/settings.ts";
import { describeSettings, durationMs, helpText, readSettings, settingsSchema } from "../../src/runtime/settings.ts";
import { UserError } from "../../src/runtime/user-error.ts";

const schema = settingsSchema({ ...commonSettings, settleMs: durationMs.default(5).describe("Pause before writing.") });
const good = ["--cluster", "osaka", "--cluster-id", "2", "--etcd-config", "/etc/etcd.yaml"];

function refusal(argv: readonly string[]): string {
  try {
    readSettings("agent", schema, argv);
  } catch (error) {
    assert(error instanceof UserError);
    return error.message;
  }
  return assert.fail(`accepted ${argv.join(" ")}`);
}

test("flags become settings with defaults", () => {
  const settings = readSettings("agent", schema, [...good, "--settle-ms", "20"]);
  assert.equal(settings.cluster, "osaka");
  assert.equal(settings.clusterId, 2);
  assert.equal(settings.settleMs, 20);
  assert.equal(settings.runDir, "/run/bulkhead");
  assert.equal(settings.listen, undefined);
});

test("each fault is one line that names the flag, what was given, and what would do", () => {
  assert.match(refusal([]), /^--cluster is missing.*--cluster-id is missing.*--etcd-config is missing/);
  assert.match(refusal([...good, "--cluster", "Osaka!"]), /--cluster "Osaka!": may hold only lower-case/);
  assert.match(refusal([...good, "--cluster-id", "256"]), /--cluster-id "256": must be a whole number from 1 to 255/);
  assert.match(refusal([...good, "--cluster-id", "two"]), /--cluster-id "two"/);
  assert.match(refusal([...good, "--listen", "localhost"]), /--listen "localhost": must be ADDRESS:PORT/);
  assert.match(refusal([...good, "--settle-ms", "0"]), /--settle-ms "0"/);
  assert.match(refusal([...good, "--settle-seconds", "1"]), /settle-seconds.*--help/);
  assert.match(refusal([...good, "stray"]), /stray/);
  for (const argv of [[], ["--cluster-id", "x"], ["stray"]]) assert(!refusal(argv).includes("\n"));
});

test("help and docs come from the same declaration", () => {
  const lines = describeSettings(schema);
  assert.deepEqual(lines.at(-1), { flag: "--settle-ms", default: "5", description: "Pause before writing." });
  assert(
    lines.every((line) => line.description !== ""),
    "every setting says what it is",
  );
  assert.match(helpText("agent", schema), /--settle-ms +Pause before writing\. \(5\)/);
});
