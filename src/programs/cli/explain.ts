/** `bulkhead policy explain`: may this end reach that one, who says so, and does the kernel agree. */
import type { Command } from "commander";
import {
  EXPLAIN_PATH,
  type ExplainAnswer,
  type ExplainEnd,
  type ExplainQuestion,
  explainQuery,
  parseExplainEnd,
  parseExplainPort,
} from "../../model/explain.ts";
import type { ProgramStatus } from "../../model/status.ts";
import { explain, explainText, type Outcome } from "../../report/explain.ts";
import { UserError } from "../../runtime/user-error.ts";
import { agentsOf, askEach, findSockets } from "../../serve/sockets.ts";
import { type ReadOptions, reader, silentText, writeLine } from "./output.ts";

interface ExplainOptions extends ReadOptions {
  readonly from: string;
  readonly to: string;
  readonly port: string;
}

const EXIT_CODES: Readonly<Record<Outcome, number>> = { allowed: 0, denied: 3, unknown: 4, disagree: 4 };

const EXIT_TEXT = `
An end is a pod (namespace/pod, or cluster/namespace/pod) or an address. Every agent below the run folder is asked: the one of the
sender's node answers for egress, the one of the receiver's for ingress.
Exit code: 0 allowed, 2 bad input, 3 denied, 4 not known, or a kernel disagrees with its agent.`;

export function explainVerb(): Command {
  return reader("explain", "may one end reach another: the verdict, the rule, and whether the kernel agrees")
    .requiredOption("--from <end>", "the sender")
    .requiredOption("--to <end>", "the receiver")
    .requiredOption("--port <port>", "the receiver's port: 8080, 53/udp, 8/icmp (the message's type)")
    .addHelpText("after", EXIT_TEXT)
    .action(run);
}

async function run({ from, to, port, runDir, json }: ExplainOptions): Promise<void> {
  const asked = parseQuestion(from, to, port);
  const sockets = agentsOf(await findSockets(runDir));
  const statuses = await askEach<ProgramStatus>(sockets, "/v1/status");
  const known = statuses.answered.map(({ answer }) => answer);
  const question = { ...asked, from: place("--from", asked.from, known), to: place("--to", asked.to, known) };
  const { answered, silent } = await askEach<ExplainAnswer>(sockets, EXPLAIN_PATH, explainQuery(question));
  const answers = answered.map(({ answer }) => answer);
  const explanation = explain(question, answers);
  process.exitCode = EXIT_CODES[explanation.outcome];
  if (json) return writeLine(JSON.stringify({ question, ...explanation, silent }, null, 2));
  await writeLine([explainText(question, explanation), ...silent.map(silentText)].join("\n\n"));
}

function parseQuestion(from: string, to: string, port: string): ExplainQuestion {
  const end = (flag: string, text: string): ExplainEnd => {
    const parsed = parseExplainEnd(text);
    if (parsed) return parsed;
    throw new UserError(`${flag} ${text}: write namespace/pod, cluster/namespace/pod or an address`);
  };
  const parsedPort = parseExplainPort(port);
  if (!parsedPort) throw new UserError(`--port ${port}: write a port such as 8080, 53/udp, or 8/icmp for a type`);
  return { from: end("--from", from), to: end("--to", to), port: parsedPort };
}

/** A pod without a cluster is the one that an agent here serves. */
function place(flag: string, end: ExplainEnd, statuses: readonly ProgramStatus[]): ExplainEnd {
  if (end.kind === "address" || end.cluster !== "") return end;
  const pod = `${end.namespace}/${end.name}`;
  const clusters = new Set<string>();
  for (const status of statuses) {
    if (status.program === "agent" && status.endpoints.some((one) => one.pod === pod)) clusters.add(status.cluster);
  }
  const [cluster, ...others] = [...clusters].sort();
  if (cluster === undefined) {
    throw new UserError(
      `${flag} ${pod}: no agent that answered serves this pod; write cluster/${pod} for one elsewhere`,
    );
  }
  if (others.length === 0) return { ...end, cluster };
  throw new UserError(`${flag} ${pod}: is in ${[cluster, ...others].join(", ")}; write ${cluster}/${pod}`);
}
