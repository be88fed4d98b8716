/** The verbs of operators. Each reads admin sockets or files, and prints. */
import { Command } from "commander";
import { EXIT_BAD_INPUT, UserError } from "../../runtime/user-error.ts";
import { printStatuses, type ReadOptions, reader } from "./output.ts";

/** The verbs, in the order of help. The modules of one are loaded when it is asked for: `status` needs neither etcd nor HTTP server. */
const VERBS: readonly (readonly [name: string, load: () => Promise<Command>])[] = [
  ["status", status],
  ["remotes", async () => (await import("./remotes.ts")).remotesVerb()],
  ["services", services],
  ["exports", exporters],
  ["flows", async () => (await import("./flows.ts")).flows()],
  ["events", async () => (await import("./events.ts")).events()],
  ["maps", async () => (await import("./maps.ts")).mapsVerb()],
  ["doctor", async () => (await import("./doctor.ts")).doctorVerb()],
  ["policy", policy],
  ["drain", async () => (await import("./drain.ts")).drain()],
  ["return", async () => (await import("./drain.ts")).returnVerb()],
  ["holds", async () => (await import("./holds.ts")).holds()],
  ["rejected", async () => (await import("./holds.ts")).rejected()],
  ["release", async () => (await import("./holds.ts")).release()],
  ["drill", async () => (await import("./drill.ts")).drillVerb()],
  ["troubleshoot", async () => (await import("./troubleshoot.ts")).troubleshootVerb()],
  ["page", async () => (await import("./page.ts")).pageVerb()],
  ["pki", async () => (await import("./pki.ts")).pkiVerb()],
  ["etcd", async () => (await import("./etcd.ts")).etcdVerb()],
  ["connect", async () => (await import("./connect.ts")).connectVerb()],
  ["disconnect", async () => (await import("./connect.ts")).disconnectVerb()],
];

async function status(): Promise<Command> {
  const { statusText } = await import("../../report/status.ts");
  return reader("status", "what every program of this machine says of itself").action((options: ReadOptions) =>
    printStatuses(options, statusText),
  );
}

async function services(): Promise<Command> {
  const { serviceDetailText, servicesText } = await import("../../report/services.ts");
  return reader("services", "the services of every cluster: which clusters serve them")
    .argument("[service...]", "namespace/name: each backend, and why it is used or not")
    .action((wanted: readonly string[], options: ReadOptions) =>
      printStatuses(options, (statuses) =>
        wanted.length === 0 ? servicesText(statuses) : serviceDetailText(statuses, wanted),
      ),
    );
}

async function exporters(): Promise<Command> {
  const { exportsText } = await import("../../report/exports.ts");
  return reader("exports", "what exporters read and publish, and what they cannot publish and why").action(
    (options: ReadOptions) => printStatuses(options, exportsText),
  );
}

async function policy(): Promise<Command> {
  const { endpointsText, policiesText } = await import("../../report/policies.ts");
  const { explainVerb } = await import("./explain.ts");
  const { validateVerb } = await import("./validate.ts");
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

/** @param word the first one of the command line: a verb, or whatever needs to know them all */
async function program(word: string | undefined): Promise<Command> {
  const programs = [
    ["exporter", "say what this cluster runs, in its etcd"],
    ["kvstoremesh", "mirror other clusters' etcds into the local cache"],
    ["agent", "program this node's eBPF maps from the local etcd"],
    ["drilld", "do to this cluster what drills ask for, as far as an allow-list goes; off unless started"],
  ] as const;
  const lines = programs.map(([name, job]) => `  ${name.padEnd(12)} ${job}`);
  const root = new Command("bulkhead")
    .description("A multi-cluster control plane: a failure in one cluster stays in that cluster.")
    .addHelpText("after", `\nPrograms (\`bulkhead <program> --help\` lists the settings):\n${lines.join("\n")}`);
  const asked = VERBS.filter(([name]) => name === word);
  for (const [, load] of asked.length > 0 ? asked : VERBS) root.addCommand(await load());
  return withOwnExit(root);
}

export async function main(argv: readonly string[]): Promise<void> {
  // gRPC tells TLS an address as if it were a name, and Node says so: nothing that an operator could mend.
  process.noDeprecation = true;
  // `bulkhead services | head`: the reader has seen enough.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  try {
    await (await program(argv[0])).parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`bulkhead: ${error.message}\n`);
    process.exitCode = EXIT_BAD_INPUT;
  }
}
