/** `bulkhead remotes`: asks the mirrors of this machine, and agents where their cluster's mirror is elsewhere. */
import type { Command } from "commander";
import { PEERS_PATH, type PeersAnswer, type ProgramStatus } from "../../model/status.ts";
import { peersText } from "../../report/peers.ts";
import { remotesText } from "../../report/remotes.ts";
import { agentsOf, askAll, askEach, findSockets } from "../../serve/sockets.ts";
import { type ReadOptions, reader, silentText, writeLine } from "./output.ts";

const HELP = `
Where no kvstoremesh of a cluster answers, one of its agents does: with what the mirror wrote into the etcd of the cluster.
With --json: the statuses that hold them, and \`peers\`, what agents read.`;

export function remotesVerb(): Command {
  return reader("remotes", "the remotes of every kvstoremesh: state, config, counts, failures, what is refused or held")
    .addHelpText("after", HELP)
    .action(run);
}

async function run({ runDir, json }: ReadOptions): Promise<void> {
  const { statuses, silent } = await askAll(runDir);
  const read = await readByAgents(runDir, statuses);
  if (json)
    return writeLine(JSON.stringify({ statuses, peers: read.peers, silent: [...silent, ...read.silent] }, null, 2));
  const mirrors = statuses.some(isMirror) || read.peers.length === 0 ? [remotesText(statuses)] : [];
  const agents = read.peers.length === 0 ? [] : [peersText(read.peers)];
  await writeLine([...mirrors, ...agents, ...[...silent, ...read.silent].map(silentText)].join("\n\n"));
}

const isMirror = ({ program }: ProgramStatus): boolean => program === "kvstoremesh";

/** Of each cluster whose mirror did not answer, the first agent's. */
async function readByAgents(runDir: string, statuses: readonly ProgramStatus[]) {
  const mirrored = new Set(statuses.filter(isMirror).map(({ cluster }) => cluster));
  if (statuses.every(({ program, cluster }) => program !== "agent" || mirrored.has(cluster))) {
    return { peers: [], silent: [] };
  }
  const { answered, silent } = await askEach<PeersAnswer>(agentsOf(await findSockets(runDir)), PEERS_PATH);
  const others = answered.map(({ answer }) => answer).filter(({ cluster }) => !mirrored.has(cluster));
  const first = Map.groupBy(others, ({ cluster }) => cluster);
  return { peers: [...first.values()].flatMap(([answer]) => answer ?? []), silent };
}
