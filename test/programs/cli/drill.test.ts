import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bulkhead } from "./command.ts";

let folder: string;
/** Somebody who listens there, and is no drilld. */
const other = createServer();

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-drill-cli-"));
  await new Promise<void>((resolve) => other.listen(join(folder, "agent-n1.sock"), resolve));
});

after(() => {
  other.close();
  rmSync(folder, { recursive: true });
});

const drill = (...words: readonly string[]) => bulkhead("drill", ...words);

test("list prints every drill, with its hypothesis", async () => {
  const { code, out } = await drill("list", "--run-dir", "/absent");
  assert.equal(code, 0);
  assert.match(out, /^DRILL +CLUSTER +FAULTS LAST +HERE +HYPOTHESIS\n/);
  assert.match(out, /^kill-remote +osaka +6\.0 s +no drilld of osaka +Osaka's etcd dies;/m);
  assert.match(out, /^wipe +osaka +8\.0 s /m);
});

for (const [what, words, line] of [
  ["a drill that nobody knows", ["run", "nope"], /ENOENT.*nope\.yaml'; `bulkhead drill list` prints the names$/],
  ["a file that is wrong", ["run", "./bad.yaml"], /bad\.yaml:1: version: must be a whole number from 1 to 1$/],
  ["no drilld", ["run", "kill-remote"], /^bulkhead: no drilld of osaka below --run-dir; start `bulkhead drilld` there/],
  ["no drilld, dry", ["run", "kill-remote", "--dry-run"], /^bulkhead: no drilld of osaka below --run-dir/],
  ["no such folder", ["list", "--drills", "/absent"], /^bulkhead: --drills ENOENT/],
] as const) {
  test(`bad input is one line and exit code 2: ${what}`, async () => {
    writeFileSync(join(folder, "bad.yaml"), "version: 7\n");
    const given = words.map((word) => word.replace("./", `${folder}/`));
    const { code, out, err } = await drill(...given, ...(given[0] === "run" ? ["--run-dir", folder] : []));
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err.trimEnd(), line);
    assert.doesNotMatch(err.trimEnd(), /\n/);
  });
}
