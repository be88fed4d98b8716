import assert from "node:assert/strict";
import { test } from "node:test";
import { type FileState, readFile } from "../../src/export/source-file.ts";
import { networkPolicyText } from "../wire/policies.ts";
import { joined, podText } from "./scene.ts";

const DEPLOYMENT = "\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";

function read(text: string | Uint8Array, previous?: FileState): FileState {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const steps = readFile("a.yaml", bytes, previous);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

const names = ({ objects }: FileState): readonly string[] => objects.map(({ name }) => name).sort();

test("an unchanged file is the same state; unchanged documents keep what they read as", () => {
  const first = read(joined(podText("a"), podText("b")));
  assert.equal(read(first.bytes.slice(), first), first);
  const second = read(joined(podText("new"), podText("a"), podText("b")), first);
  assert.deepEqual(names(second), ["a", "b", "new"]);
  const inSecond = [...second.documents.values()];
  const kept = [...first.documents.values()].filter((parsed) => inSecond.includes(parsed));
  assert.equal(kept.length, 2);
});

test("lines are counted in the file, not in the document, also when documents move", () => {
  const first = read(joined(podText("a"), "\nkind: [\n", podText("b")));
  assert.match(first.problems[0] ?? "", /^a\.yaml:1\d: bad YAML/);
  assert.deepEqual(
    first.objects.map(({ source }) => source),
    ["a.yaml:1", `a.yaml:${joined(podText("a"), "\nkind: [\n", "").split("\n").length}`],
  );
  const moved = read(`# one\n# two\n${new TextDecoder().decode(first.bytes)}`, first);
  const line = (problem: string): number => Number(problem.split(":")[1]);
  assert.equal(line(moved.problems[0] ?? ""), line(first.problems[0] ?? "") + 2);
});

test("a broken document keeps the objects of the last good version, the others change", () => {
  const good = read(joined(podText("a"), podText("b")));
  const broken = read(joined(podText("a").replace("kind: Pod", "kind: Pdo"), podText("c")), good);
  assert.deepEqual(names(broken), ["a", "b", "c"]);
  assert.match(broken.problems[0] ?? "", /; the last good state of the file stays$/);
  const mended = read(joined(podText("a"), podText("c")), broken);
  assert.deepEqual(names(mended), ["a", "c"]);
  assert.deepEqual(mended.problems, []);
});

test("a document that never was understood does not hold on to others that go", () => {
  const strange = podText("x").replace("kind: Pod", "kind: Pdo");
  const first = read(joined(podText("a"), strange, podText("b")));
  assert.equal(first.wholeOnce, false);
  const second = read(joined(podText("a"), strange), first);
  assert.deepEqual(names(second), ["a"]);
  assert.equal(second.wholeOnce, false);
  assert.equal(read(podText("a"), second).wholeOnce, true);
});

test("a kind that is not read leaves its file whole, and is said", () => {
  const first = read(joined(podText("a"), DEPLOYMENT));
  assert.equal(first.wholeOnce, true);
  assert.match(first.problems[0] ?? "", /Deployment" is not read/);
});

test("bytes that are no text are one line", () => {
  const good = read(podText("a"));
  const bad = read(Uint8Array.of(0xff, 0xfe, 0x00), good);
  assert.deepEqual(bad.problems, [
    "a.yaml:1: is not UTF-8 text; save it as such; the last good state of the file stays",
  ]);
  assert.deepEqual(names(bad), ["a"]);
});

test("a file emptied on purpose withdraws its objects", () => {
  assert.deepEqual(names(read("# nothing\n", read(podText("a")))), []);
});

test("a policy moves with its document: what agents show is where it stands", () => {
  const policy = `\n${networkPolicyText("podSelector: {}")}`;
  const first = read(joined(podText("a"), policy));
  const moved = read(`# one\n${new TextDecoder().decode(first.bytes)}`, first);
  for (const { objects } of [first, moved]) {
    const object = objects.find(({ kind }) => kind === "Policy");
    assert(object?.kind === "Policy");
    assert.equal(object.policy.source, object.source);
  }
  assert.notEqual(moved.objects.at(-1)?.source, first.objects.at(-1)?.source);
});
