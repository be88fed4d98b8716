// The mesh on this machine: three clusters in network namespaces, and the tour that proves them. `npm run mesh -- --help`.
import { EXIT_BAD_INPUT, UserError } from "../../src/runtime/user-error.ts";
import { parseArguments, USAGE } from "./arguments.ts";
import { sayBad } from "./output.ts";
import { InvalidRun } from "./tour/expect.ts";
import { runVerb } from "./verbs.ts";

/** The run proves nothing: its load was not reached, or the client ran out of ports. */
const EXIT_INVALID = 3;

async function main(argv: readonly string[]): Promise<number> {
  try {
    const asked = parseArguments(argv);
    if (asked.verb !== "help") return await runVerb(asked);
    process.stdout.write(`${USAGE}\n`);
    return 0;
  } catch (error) {
    if (error instanceof UserError) {
      process.stderr.write(`${error.message}\n`);
      return EXIT_BAD_INPUT;
    }
    if (error instanceof InvalidRun) {
      sayBad(`\nINVALID, neither passed nor failed: ${error.message}`);
      return EXIT_INVALID;
    }
    sayBad(`\nFAILED: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

process.exit(await main(process.argv.slice(2)));
