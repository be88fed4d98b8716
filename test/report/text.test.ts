import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, safeText, table } from "../../src/report/text.ts";

test("columns line up and lines have no trailing spaces", () => {
  assert.equal(
    table(
      ["A", "LONG"],
      [
        ["xyz", "1"],
        ["", "22"],
      ],
    ),
    "A    LONG\nxyz  1\n     22",
  );
});

test("a stranger's text cannot steer the terminal", () => {
  assert.equal(safeText("a\u001b[31mb\r\n\u202ec\u0000é"), "a\\u001b[31mb\\u000d\\u000a\\u202ec\\u0000é");
});

test("durations are short", () => {
  assert.deepEqual([850.4, 12_340, 240_000, 3 * 3_600_000, 200_000_000].map(duration), [
    "850 ms",
    "12.3 s",
    "4 min",
    "3 h",
    "2 d",
  ]);
});
