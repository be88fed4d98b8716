import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { DataPath } from "../../src/model/health.ts";
import { PathStates, type Round } from "../../src/probe/path-states.ts";

const damping = { failures: 3, successes: 2, selfWindowMs: 30_000 };
const one = (answers: boolean | undefined): Round => new Map([["10.1.0.1:80", answers]]);

/** The states of osaka after each round, 5 s apart. */
function states(...rounds: readonly Round[]): readonly (DataPath | undefined)[] {
  const paths = new PathStates(damping);
  return rounds.map((round, index) => {
    paths.round(new Map([["osaka", round]]), index * 5_000);
    return paths.get("osaka")?.dataPath;
  });
}

test("the first answer makes a path alive; three silent rounds in a row make it dead, two with an answer alive again", () => {
  const rounds = [true, false, false, true, false, false, false, true, false, true, true].map(one);
  const expected = "alive alive alive alive alive alive dead dead dead dead alive".split(" ");
  assert.deepEqual(states(...rounds), expected);
});

test("a path that flaps from round to round stays as it is", () => {
  const flapping = Array.from({ length: 20 }, (_, index) => one(index % 2 === 0));
  assert.deepEqual(new Set(states(...flapping)), new Set(["alive"]));
  const dead = [one(true), one(false), one(false), one(false)];
  assert.deepEqual(new Set(states(...dead, ...flapping).slice(3)), new Set(["dead"]));
});

test("nothing to probe, and targets that never answered, prove nothing", () => {
  const empty: Round = new Map();
  assert.deepEqual(states(empty, empty, empty, empty), ["unknown", "unknown", "unknown", "unknown"]);
  assert.deepEqual(states(...[false, false, false, false].map(one)), ["unknown", "unknown", "unknown", "unknown"]);
});

test("one target that answers keeps the path alive; one that never did does not keep it from being dead", () => {
  const both = (first: boolean, second: boolean): Round => new Map([...one(first), ["10.1.0.2:80", second]]);
  assert.equal(states(both(true, true), both(false, true), both(false, true), both(false, true)).at(-1), "alive");
  assert.equal(states(both(true, false), both(false, false), both(false, false), both(false, false)).at(-1), "dead");
});

test("what this node could not try is no failure", () => {
  assert.equal(states(...[true, undefined, undefined, undefined, undefined].map(one)).at(-1), "alive");
  assert.equal(states(...[true, false, undefined, false, undefined, false].map(one)).at(-1), "dead");
});

test("when the targets that answered are gone, the path is unknown again", () => {
  const other: Round = new Map([["10.1.0.9:80", false]]);
  assert.deepEqual(states(...[true, false, false, false].map(one), other).slice(-2), ["dead", "unknown"]);
});

/** Rounds over several clusters, 5 s apart; a letter a cluster: `+` answers, `-` silent, `.` nothing to probe. */
function selfSuspicion(...rounds: readonly string[]): readonly boolean[] {
  const paths = new PathStates({ ...damping, failures: 1, successes: 1 });
  return rounds.map((round, index) => {
    const results = [...round].map((sign, cluster): readonly [string, Round] => {
      return [`c${cluster}`, sign === "." ? new Map() : one(sign === "+")];
    });
    paths.round(new Map(results), index * 5_000);
    return paths.suspectsItself;
  });
}

test("a node that loses more than half of its remotes within the window suspects itself, until half of them are back", () => {
  assert.deepEqual(selfSuspicion("+++", "-++", "--+", "--+", "-++"), [false, false, true, true, false]);
  assert.deepEqual(selfSuspicion("++", "--", "+-"), [false, true, false]);
});

test("half of them, those that are lost one after another, and the only one do not make it suspect itself", () => {
  assert.deepEqual(new Set(selfSuspicion("++++", "--++", "--++")), new Set([false]));
  const slowly = ["+++", ...Array.from({ length: 8 }, () => "-++"), ...Array.from({ length: 8 }, () => "--+"), "---"];
  assert.deepEqual(new Set(selfSuspicion(...slowly)), new Set([false]));
  assert.deepEqual(new Set(selfSuspicion("+", "-", "-")), new Set([false]));
});

test("remotes with nothing to probe do not count", () => {
  assert.deepEqual(selfSuspicion("++..", "--.."), [false, true]);
});

test("a state changes only after as many rounds in a row as asked for, whatever comes before", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(true, false, undefined), { maxLength: 60 }), (answers) => {
      const found = states(...answers.map(one));
      for (const [index, now] of found.entries()) {
        const before = index === 0 ? "unknown" : found[index - 1];
        if (now === before || before === "unknown") continue;
        const lately = answers.slice(0, index + 1).filter((answer) => answer !== undefined);
        const [needed, wanted] = now === "dead" ? [damping.failures, false] : [damping.successes, true];
        assert(lately.slice(-needed).every((answer) => answer === wanted) && lately.length >= needed);
      }
    }),
    { numRuns: 300 },
  );
});
