/** The verbs of operators. Each reads admin sockets and prints. */
import { Command } from "commander";
import type { ProgramStatus } from "../../model/status.ts";
import { serviceDetailText, servicesText } from "../../report/services.ts";
import { statusText } from "../../report/status.ts";
import { safeText } from "../../report/text.ts";
import { EXIT_BAD_INPUT, UserError } from "../../runtime/user-error.ts";
import { askAll } from "./sockets.ts";

interface ReadOptions {
  readonly runDir: string;
  readonly json: boolean;
}

async function print(
  { runDir, json }: ReadOptions,
  text: (statuses: readonly ProgramStatus[]) => string,
): Promise<void> {
  const { statuses, silent } = await askAll(runDir);
  if (json) {
    process.stdout.write(`${JSON.stringify({ statuses, silent }, null, 2)}\n`);
    return;
  }
  process.stdout.write(`${text(statuses)}\n`);
  for (const { socket, error } of silent) process.stdout.write(`\n! no answer from ${socket}: ${safeText(error)}\n`);
}

function reader(verb: string, description: string): Command {
  return new Command(verb)
    .description(description)
    .option("--run-dir <folder>", "folder of the admin sockets", "/run/bulkhead")
    .option("--json", "print the records as JSON", false);
}

function status(): Command {
  return reader("status", "what every program of this machine says of itself").action((options: ReadOptions) =>
    print(options, statusText),
  );
}

function services(): Command {
  return reader("services", "the services of every cluster: which clusters serve them")
    .argument("[service...]", "namespace/name: each backend, and why it is used or not")
    .action((wanted: readonly string[], options: ReadOptions) =>
      print(options, (statuses) =>
        wanted.length === 0 ? servicesText(statuses) : serviceDetailText(statuses, wanted),
      ),
    );
}

function program(): Command {
  const programs = [
    ["exporter", "say what this cluster runs, in its etcd"],
    ["kvstoremesh", "mirror other clusters' etcds into the local cache"],
    ["agent", "program this node's eBPF maps from the local etcd"],
  ] as const;
  const lines = programs.map(([name, job]) => `  ${name.padEnd(12)} ${job}`);
  return new Command("bulkhead")
    .description("A multi-cluster control plane: a failure in one cluster stays in that cluster.")
    .addHelpText("after", `\nPrograms (\`bulkhead <program> --help\` lists the settings):\n${lines.join("\n")}`)
    .addCommand(status())
    .addCommand(services())
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : EXIT_BAD_INPUT);
    });
}

export async function main(argv: readonly string[]): Promise<void> {
  // `bulkhead services | head`: the reader has seen enough.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  try {
    await program().parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`bulkhead: ${error.message}\n`);
    process.exitCode = EXIT_BAD_INPUT;
  }
}
