/** The verbs of operators. Each reads admin sockets or files, and prints. */
import { Command } from "commander";
import { exportsText } from "../../report/exports.ts";
import { endpointsText, policiesText } from "../../report/policies.ts";
import { serviceDetailText, servicesText } from "../../report/services.ts";
import { statusText } from "../../report/status.ts";
import { EXIT_BAD_INPUT, UserError } from "../../runtime/user-error.ts";
import { connectVerb, disconnectVerb } from "./connect.ts";
import { doctorVerb } from "./doctor.ts";
import { drain, returnVerb } from "./drain.ts";
import { drillVerb } from "./drill.ts";
import { etcdVerb } from "./etcd.ts";
import { events } from "./events.ts";
import { explainVerb } from "./explain.ts";
import { flows } from "./flows.ts";
import { holds, rejected, release } from "./holds.ts";
import { mapsVerb } from "./maps.ts";
import { printStatuses, type ReadOptions, reader } from "./output.ts";
import { pageVerb } from "./page.ts";
import { pkiVerb } from "./pki.ts";
import { remotesVerb } from "./remotes.ts";
import { troubleshootVerb } from "./troubleshoot.ts";
import { validateVerb } from "./validate.ts";

function status(): Command {
  return reader("status", "what every program of this machine says of itself").action((options: ReadOptions) =>
    printStatuses(options, statusText),
  );
}

function services(): Command {
  return reader("services", "the services of every cluster: which clusters serve them")
    .argument("[service...]", "namespace/name: each backend, and why it is used or not")
    .action((wanted: readonly string[], options: ReadOptions) =>
      printStatuses(options, (statuses) =>
        wanted.length === 0 ? servicesText(statuses) : serviceDetailText(statuses, wanted),
      ),
    );
}

function exporters(): Command {
  return reader("exports", "what exporters read and publish, and what they cannot publish and why").action(
    (options: ReadOptions) => printStatuses(options, exportsText),
  );
}

function policy(): Command {
  const list = reader("list", "the policies of every cluster, and how many pods each selects on which node")
    .option("--endpoints", "the pods instead: what is enforced in each direction, and by which policies", false)
    .action(({ endpoints, ...options }: ReadOptions & { readonly endpoints: boolean }) =>
      printStatuses(options, endpoints ? endpointsText : policiesText),
    );
  return new Command("policy")
    .description("network policies: what is in force, why, and whether a file is fine")
    .addCommand(explainVerb())
    .addCommand(validateVerb())
    .addCommand(list);
}

/** Exit codes are ours, of every command below too. */
function withOwnExit(command: Command): Command {
  for (const sub of command.commands) withOwnExit(sub);
  return command.exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : EXIT_BAD_INPUT);
  });
}

function program(): Command {
  const programs = [
    ["exporter", "say what this cluster runs, in its etcd"],
    ["kvstoremesh", "mirror other clusters' etcds into the local cache"],
    ["agent", "program this node's eBPF maps from the local etcd"],
    ["drilld", "do to this cluster what drills ask for, as far as an allow-list goes; off unless started"],
  ] as const;
  const lines = programs.map(([name, job]) => `  ${name.padEnd(12)} ${job}`);
  const root = new Command("bulkhead")
    .description("A multi-cluster control plane: a failure in one cluster stays in that cluster.")
    .addHelpText("after", `\nPrograms (\`bulkhead <program> --help\` lists the settings):\n${lines.join("\n")}`)
    .addCommand(status())
    .addCommand(remotesVerb())
    .addCommand(services())
    .addCommand(exporters())
    .addCommand(flows())
    .addCommand(events())
    .addCommand(mapsVerb())
    .addCommand(doctorVerb())
    .addCommand(policy())
    .addCommand(drain())
    .addCommand(returnVerb())
    .addCommand(holds())
    .addCommand(rejected())
    .addCommand(release())
    .addCommand(drillVerb())
    .addCommand(troubleshootVerb())
    .addCommand(pageVerb())
    .addCommand(pkiVerb())
    .addCommand(etcdVerb())
    .addCommand(connectVerb())
    .addCommand(disconnectVerb());
  return withOwnExit(root);
}

export async function main(argv: readonly string[]): Promise<void> {
  // gRPC tells TLS an address as if it were a name, and Node says so: nothing that an operator could mend.
  process.noDeprecation = true;
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
