/** Runs the measurements named on the command line, such as `npm run bench -- P7`; without a name, all. Each prints a line with its ratios. */
import { UserError } from "../src/runtime/user-error.ts";
import { endpointThroughput } from "./p7-endpoint-throughput.ts";

interface Goal {
  readonly id: string;
  readonly what: string;
  run(): Promise<void>;
}

const GOALS: readonly Goal[] = [
  { id: "P7", what: "TCP throughput through endpoint policy and conntrack", run: endpointThroughput },
];

function wanted(names: readonly string[]): readonly Goal[] {
  const unknown = names.filter((name) => !GOALS.some(({ id }) => id === name.toUpperCase()));
  if (unknown.length > 0) {
    const known = GOALS.map(({ id, what }) => `${id} (${what})`).join(", ");
    throw new UserError(`bench: there is no ${unknown.join(", ")}; there are: ${known}`);
  }
  return names.length === 0 ? GOALS : GOALS.filter(({ id }) => names.some((name) => name.toUpperCase() === id));
}

try {
  for (const goal of wanted(process.argv.slice(2))) {
    process.stdout.write(`${goal.id}: ${goal.what}\n`);
    await goal.run();
  }
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
