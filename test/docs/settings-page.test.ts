import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { SETTINGS_PAGE, settingsPage } from "./settings-page.ts";

test("docs/SETTINGS.md is what the declarations say", () => {
  assert.equal(readFileSync(SETTINGS_PAGE, "utf8"), settingsPage(), "run `npm run fix`");
});

test("every setting of every program says what it is", () => {
  for (const line of settingsPage()
    .split("\n")
    .filter((row) => row.startsWith("| `--"))) {
    assert.match(line, /^\| `--[a-z0-9-]+` \| [^|]+ \| [^|]{10,} \|$/);
  }
});
