/** `bulkhead holds`, `rejected` and `release`: what a mirror does not believe, and what an operator says to that. */
import { basename, dirname } from "node:path";
import type { Command } from "commander";
import type { SetAside } from "../../model/status.ts";
import { holdsText, rejectedText } from "../../report/holds.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { tellSocket } from "../../serve/ask.ts";
import { printStatuses, type ReadOptions, reader, silentText, writeLine } from "./output.ts";
import { ANSWER_TIMEOUT_MS, askEach, findSockets } from "./sockets.ts";

/** Handing over a large cache takes a while. */
const RELEASE_TIMEOUT_MS = 120_000;

interface TellOptions extends ReadOptions {
  readonly cluster?: string;
}

const clusterOf = (socket: string): string => basename(dirname(socket));

async function mirrorSockets(runDir: string): Promise<readonly string[]> {
  return (await findSockets(runDir)).filter((socket) => basename(socket) === "kvstoremesh.sock");
}

/** The socket of the one mirror that is meant. */
async function mirrorSocket({ runDir, cluster }: TellOptions): Promise<string> {
  const sockets = await mirrorSockets(runDir);
  const found = sockets.filter((socket) => cluster === undefined || clusterOf(socket) === cluster);
  const [socket] = found;
  if (found.length === 1 && socket !== undefined) return socket;
  const names = sockets.map(clusterOf).join(", ") || "none";
  throw new UserError(`--cluster ${cluster ?? "is missing"}: name one whose kvstoremesh runs here: ${names}`);
}

async function tell(options: TellOptions, path: string, body: unknown, timeoutMs: number): Promise<unknown> {
  const socket = await mirrorSocket(options);
  try {
    return await tellSocket(socket, path, body, timeoutMs);
  } catch (error) {
    throw new UserError(`kvstoremesh of ${clusterOf(socket)}: ${messageOf(error)}`);
  }
}

function teller(verb: string, description: string): Command {
  return reader(verb, description).option("--cluster <name>", "whose kvstoremesh, when several run here");
}

function decide(verb: "confirm" | "discard", description: string): Command {
  return teller(verb, description)
    .argument("<hold>", "remote/kind, as `bulkhead holds` names it, such as osaka/ip")
    .action(async (hold: string, _: TellOptions, command: Command) => {
      // `holds` has the same options, and takes them wherever they stand.
      const options = command.optsWithGlobals<TellOptions>();
      const [remote, kind, ...more] = hold.split("/");
      if (!remote || !kind || more.length > 0) throw new UserError(`${hold}: must be remote/kind, such as osaka/ip`);
      const done = await tell(options, `/v1/holds/${verb}`, { remote, kind }, ANSWER_TIMEOUT_MS);
      await writeLine(options.json ? JSON.stringify(done) : `${hold} is ${verb}ed`);
    });
}

export function holds(): Command {
  return (
    reader("holds", "withdrawals of remotes that are too many to be believed at once")
      // `confirm` has the same options: what follows it belongs to it.
      .enablePositionalOptions()
      .action((options: ReadOptions) => printStatuses(options, holdsText))
      .addCommand(decide("confirm", "believe what is held: it is taken out of the cache at once"))
      .addCommand(decide("discard", "do not believe it: the cache stays as it is until the remote says otherwise"))
  );
}

export function rejected(): Command {
  return reader("rejected", "values of remotes that are refused, or wait for what they belong to")
    .argument("[remote]", "of this remote only")
    .action(async (remote: string | undefined, { runDir, json }: ReadOptions) => {
      const query = remote === undefined ? {} : { remote };
      const { answered, silent } = await askEach<readonly SetAside[]>(
        await mirrorSockets(runDir),
        "/v1/rejected",
        query,
      );
      const clusters = answered.map(({ socket, answer }) => ({ cluster: clusterOf(socket), values: answer }));
      if (json) return writeLine(JSON.stringify({ clusters, silent }, null, 2));
      await writeLine([rejectedText(clusters), ...silent.map(silentText)].join("\n\n"));
    });
}

export function release(): Command {
  return teller(
    "release",
    "hand the cache to a kvstoremesh of Cilium: one lease of 15 minutes for all of it, and no more mirroring",
  ).action(async (options: TellOptions) => {
    const released = (await tell(options, "/v1/release", {}, RELEASE_TIMEOUT_MS)) as Record<string, number>;
    const { keys, ttlSeconds } = released;
    const text = `${keys} keys hang on one lease of ${ttlSeconds} s; start Cilium's kvstoremesh before it runs out`;
    await writeLine(options.json ? JSON.stringify(released) : text);
  });
}
