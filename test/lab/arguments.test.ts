import assert from "node:assert/strict";
import { test } from "node:test";
import { parseArguments } from "../../deploy/lab/arguments.ts";
import { UserError } from "../../src/runtime/user-error.ts";

test("verbs and options, in any order", () => {
  const plain = { verb: "run", name: "bulkhead", repeat: 1, secure: false, rest: [] };
  assert.deepEqual(parseArguments([]), plain);
  assert.deepEqual(parseArguments(["--repeat", "5"]), { ...plain, repeat: 5 });
  assert.deepEqual(parseArguments(["down", "--name", "x"]), { ...plain, verb: "down", name: "x" });
  assert.deepEqual(parseArguments(["up", "--secure"]), { ...plain, verb: "up", secure: true });
  assert.deepEqual(parseArguments(["start", "osaka"]).rest, ["osaka"]);
});

test("what follows exec is the command's, options too", () => {
  const { rest, name } = parseArguments(["--name", "x", "exec", "osaka/client", "curl", "-s", "--name", "y"]);
  assert.deepEqual(rest, ["osaka/client", "curl", "-s", "--name", "y"]);
  assert.equal(name, "x");
});

for (const [argv, complaint] of [
  [["--fast"], /unknown option --fast/],
  [["upp"], /unknown verb upp/],
  [["up", "now"], /used as: up;/],
  [["start"], /start CLUSTER/],
  [["exec", "osaka/client"], /exec CLUSTER\/POD COMMAND/],
  [["--name", "a.b"], /--name a\.b: must be/],
  [["--name"], /--name : is missing/],
  [["tour", "--secure"], /--secure: only a lab that is started is secured; tour finds it/],
  [["--repeat", "0"], /--repeat 0: must be a whole number/],
  [["--repeat", "many"], /--repeat many/],
] as const) {
  test(`refused in one line: ${argv.join(" ")}`, () => {
    assert.throws(
      () => parseArguments(argv),
      (error) => error instanceof UserError && complaint.test(error.message) && !error.message.includes("\n"),
    );
  });
}
