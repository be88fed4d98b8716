import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseDrill } from "../../src/drill/drill-file.ts";
import { UserError } from "../../src/runtime/user-error.ts";

const SHIPPED = fileURLToPath(new URL("../../deploy/drills/", import.meta.url));
const GOOD = readFileSync(`${SHIPPED}kill-remote.yaml`, "utf8");

test("every shipped drill is read, and is named as its file", () => {
  const files = readdirSync(SHIPPED);
  assert(files.length >= 8);
  for (const file of files) {
    const drill = parseDrill(file, readFileSync(`${SHIPPED}${file}`, "utf8"));
    assert.equal(`${drill.name}.yaml`, file);
  }
});

test("a drill is read whole", () => {
  const drill = parseDrill("kill-remote.yaml", GOOD);
  assert.deepEqual(drill.probe, { cluster: "amsterdam", place: "client", service: "demo/hello", rate: 100 });
  assert.deepEqual(drill.steps, [{ fault: "kill", target: "etcd", forMs: 6_000 }]);
  const drain = parseDrill("drain.yaml", readFileSync(`${SHIPPED}drain.yaml`, "utf8"));
  assert.deepEqual(drain.steps, [{ fault: "drain", target: "traffic", forMs: 16_000, overMs: 6_000 }]);
  assert.equal(drill.maxFailed, 20);
  assert.deepEqual(drill.expect.detect, { sign: "unwell", withinMs: 5_000 });
  // Not said: as long as the faults last.
  assert.equal(drill.expect.failOverWithinMs, 6_000);
});

/** A change of the good file, and the one line that it brings. */
const BAD: readonly (readonly [from: string | RegExp, to: string, line: RegExp])[] = [
  ["version: 1", "version: 2", /^bad\.yaml:\d+: version: must be a whole number from 1 to 1$/],
  ["name: kill-remote", "name: ../kill", /^bad\.yaml:\d+: name: must be lower-case letters/],
  ["fault: kill", "fault: explode", /^bad\.yaml:\d+: steps\[0\]\.fault: .*"kill"/],
  ["for: 6s", "for: 6", /^bad\.yaml:\d+: steps\[0\]\.for: must be a duration up to an hour, such as 500ms, 10s or 2m$/],
  [
    "cluster: osaka",
    "cluster: osaka\ndespite: osaka",
    /^bad\.yaml: despite: osaka is what the faults happen to; remove it$/,
  ],
  ["for: 6s", "for: 6s, over: 2s", /^bad\.yaml: steps\[0\]\.over: only a drain takes its time; remove it$/],
  ["for: 6s", "for: 2000m", /steps\[0\]\.for: must be a duration up to an hour/],
  ["amsterdam/client", "client", /probe\.from: must be CLUSTER\/PLACE, such as amsterdam\/client$/],
  ["rate: 100", "rate: 100000", /probe\.rate: must be a whole number from 1 to 1000$/],
  ["sign: unwell", "sign: odd", /expect\.detect\.sign: /],
  [/guards:\n.*\n/, "", /guards: /],
  ["cluster: osaka", "cluster: osaka\nforce: true", /Unrecognized key: "force"/],
  [/steps:\n.*\n/, "steps: []\n", /^bad\.yaml: steps: has 0; give 1 to 20 of them$/],
  ["version: 1", "version: [1", /^bad\.yaml:\d+: bad YAML: /],
];

for (const [from, to, line] of BAD) {
  test(`a bad file is one line: ${line.source}`, () => {
    const changed = GOOD.replace(from, to);
    assert.notEqual(changed, GOOD);
    assert.throws(
      () => parseDrill("bad.yaml", changed),
      (error: unknown) => {
        assert(error instanceof UserError);
        assert.match(error.message, line);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}
