/** What the lab is asked to do (pure). */
import { UserError } from "../../src/runtime/user-error.ts";
import { labNameFault } from "./plan.ts";

const DEFAULT_NAME = "bulkhead";
const MAX_REPEAT = 1_000;

export const USAGE = `usage: npm run mesh [-- [VERB] [--name NAME] [--repeat N]]
  (no verb)            start three clusters, run the tour, remove everything
  up                   start them and leave them running
  tour                 run the tour on clusters that are up
  exec CLUSTER/POD COMMAND...
                       run a command as a pod: in its network and its cgroup
  start CLUSTER        start again what was killed of a cluster
  down                 remove every namespace, cgroup, pin, mount, process and file, also after a crash
  --repeat N           run the tour N times on the same clusters
  --secure             with no verb or \`up\`: TLS everywhere, users and rights in the etcds, clusters joined by \`bulkhead connect\`
  --name NAME          name of the lab (default ${DEFAULT_NAME}); labs of different names do not touch each other`;

export type Verb = "run" | "up" | "tour" | "exec" | "start" | "down" | "help";

export interface LabArguments {
  readonly verb: Verb;
  readonly name: string;
  readonly repeat: number;
  /** The etcds ask everybody for a certificate and a right. */
  readonly secure: boolean;
  /** What follows `exec` or `start`. */
  readonly rest: readonly string[];
}

const WORDS: Readonly<Record<string, string>> = {
  up: "up",
  tour: "tour",
  down: "down",
  start: "start CLUSTER",
  exec: "exec CLUSTER/POD COMMAND...",
};
/** Words that each verb needs; only \`exec\` takes more. */
const REST_MIN: Readonly<Record<string, number>> = { up: 0, tour: 0, down: 0, start: 1, exec: 2 };

export function parseArguments(argv: readonly string[]): LabArguments {
  let name = DEFAULT_NAME;
  let repeat = 1;
  let secure = false;
  const words: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (words[0] === "exec" || !word.startsWith("-")) words.push(word);
    else if (word === "--help" || word === "-h") return { verb: "help", name, repeat, secure, rest: [] };
    else if (word === "--name") name = readName(argv[++index]);
    else if (word === "--secure") secure = true;
    else if (word === "--repeat") repeat = readRepeat(argv[++index]);
    else throw new UserError(`mesh: unknown option ${word}; \`npm run mesh -- --help\` lists them`);
  }
  const asked = readVerb(words);
  if (secure && asked.verb !== "run" && asked.verb !== "up")
    throw new UserError(
      `mesh: --secure: only a lab that is started is secured; ${asked.verb} finds it as it was started`,
    );
  return { ...asked, name, repeat, secure };
}

function readVerb(words: readonly string[]): Pick<LabArguments, "verb" | "rest"> {
  const [verb, ...rest] = words;
  if (verb === undefined) return { verb: "run", rest: [] };
  const least = REST_MIN[verb];
  if (least === undefined) throw new UserError(`mesh: unknown verb ${verb}; \`npm run mesh -- --help\` lists them`);
  if (rest.length < least || (verb !== "exec" && rest.length > least)) {
    throw new UserError(`mesh: ${verb} is used as: ${WORDS[verb]}; \`npm run mesh -- --help\` says more`);
  }
  return { verb: verb as Verb, rest };
}

function readName(text: string | undefined): string {
  const fault = text === undefined ? "is missing" : labNameFault(text);
  if (text === undefined || fault !== undefined) throw new UserError(`mesh: --name ${text ?? ""}: ${fault}`);
  return text;
}

function readRepeat(text: string | undefined): number {
  const repeat = Number(text);
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > MAX_REPEAT) {
    throw new UserError(`mesh: --repeat ${text ?? ""}: must be a whole number from 1 to ${MAX_REPEAT}`);
  }
  return repeat;
}
