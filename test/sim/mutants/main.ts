/** `node test/sim/mutants/main.ts [--seeds N] [name part]`: for each mutant the first seed from 1 on that catches it. */
import { parseArgs } from "node:util";
import { catches } from "./catch.ts";
import { MUTANTS } from "./table.ts";

const { values, positionals } = parseArgs({
  options: { seeds: { type: "string", default: "200" } },
  allowPositionals: true,
});
const [part = ""] = positionals;
for (const mutant of MUTANTS.filter(({ name }) => name.includes(part))) {
  const found = await catches({ ...mutant, seed: 1 }, Number(values.seeds));
  process.stdout.write(`${found ?? "not caught"} ${mutant.name} (${mutant.invariant})\n`);
}
