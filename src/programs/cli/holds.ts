/** `bulkhead holds`, `rejected` and `release`: what a mirror does not believe, and what an operator says to that. */
import { basename } from "node:path";
import { Command } from "commander";
import type { Discarded, HeldKey, SetAside } from "../../model/status.ts";
import { heldText, holdsText, type OfCluster, rejectedText } from "../../report/holds.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { tellSocket } from "../../serve/ask.ts";
import { ANSWER_TIMEOUT_MS, askEach, clusterOf, findSockets } from "../../serve/sockets.ts";
import { printStatuses, type ReadOptions, reader, silentText, writeLine } from "./output.ts";

/** Handing over a large cache takes a while. */
const RELEASE_TIMEOUT_MS = 120_000;

interface TellOptions extends ReadOptions {
  readonly cluster?: string;
}

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

interface HoldName {
  readonly remote: string;
  readonly kind: string;
}

function holdName(hold: string): HoldName {
  const [remote, kind, ...more] = hold.split("/");
  if (remote && kind && more.length === 0) return { remote, kind };
  throw new UserError(`${hold}: must be remote/kind, such as osaka/ip`);
}

/** None: all of it is meant. */
const named = (keys: readonly string[]) => (keys.length > 0 ? { keys } : {});

const count = (keys: number): string => (keys === 1 ? "1 key" : `${keys} keys`);

function decide(verb: "confirm" | "discard", description: string): Command {
  return teller(verb, description)
    .argument("<hold>", "remote/kind, as `bulkhead holds` names it, such as osaka/ip")
    .argument("[key...]", "these keys only, as `bulkhead holds remote/kind` lists them")
    .action(async (hold: string, keys: readonly string[], _: TellOptions, command: Command) => {
      // `holds` has the same options, and takes them wherever they stand.
      const options = command.optsWithGlobals<TellOptions>();
      const body = { ...holdName(hold), ...named(keys) };
      const done = (await tell(options, `/v1/holds/${verb}`, body, ANSWER_TIMEOUT_MS)) as { readonly keys: number };
      await writeLine(options.json ? JSON.stringify(done) : `${count(done.keys)} of ${hold} ${verb}ed`);
    });
}

/** Prints what every mirror here answers. */
async function printEach<T>(
  { runDir, json }: ReadOptions,
  path: string,
  remote: string | undefined,
  text: (clusters: readonly OfCluster<T>[]) => string,
  wanted: (value: T) => boolean = () => true,
): Promise<void> {
  const query = remote === undefined ? {} : { remote };
  const { answered, silent } = await askEach<readonly T[]>(await mirrorSockets(runDir), path, query);
  const clusters = answered.map(({ socket, answer }) => ({
    cluster: clusterOf(socket),
    values: answer.filter(wanted),
  }));
  if (json) return writeLine(JSON.stringify({ clusters, silent }, null, 2));
  await writeLine([text(clusters), ...silent.map(silentText)].join("\n\n"));
}

export function holds(): Command {
  return (
    reader("holds", "withdrawals of remotes that are too many to be believed at once")
      // `confirm` has the same options: what follows it belongs to it.
      .enablePositionalOptions()
      .argument("[hold]", "remote/kind, such as osaka/ip: each key of it")
      .action((hold: string | undefined, options: ReadOptions) => {
        if (hold === undefined) return printStatuses(options, holdsText);
        const { remote, kind } = holdName(hold);
        return printEach<HeldKey>(options, "/v1/holds", remote, heldText, (held) => held.kind === kind);
      })
      .addCommand(decide("confirm", "believe what is held: it is taken out of the cache at once"))
      .addCommand(decide("discard", "do not believe it: the cache stays as it is until the remote says otherwise"))
  );
}

function discardRejected(): Command {
  return teller("discard", "forget what is refused or parked; the last good values of what is refused are withdrawn")
    .argument("<remote>", "of this remote")
    .argument("[key...]", "these keys only, as `bulkhead rejected` lists them")
    .option("--reason <reason>", "of this reason only, such as not-allowed or parked")
    .action(async (remote: string, keys: readonly string[], _: unknown, command: Command) => {
      const options = command.optsWithGlobals<TellOptions & { readonly reason?: string }>();
      const { json, reason } = options;
      const body = { remote, ...(reason !== undefined && { reason }), ...named(keys) };
      const done = (await tell(options, "/v1/rejected/discard", body, ANSWER_TIMEOUT_MS)) as Discarded;
      const { withdrawn, forgotten } = done;
      const text = `of ${remote}: the last good value of ${count(withdrawn)} withdrawn, ${count(forgotten)} forgotten`;
      await writeLine(json ? JSON.stringify(done) : text);
    });
}

/** Answers those who look for it. */
function confirmRejected(): Command {
  return new Command("confirm")
    .description("does not exist: what breaks the rules is never believed")
    .argument("[anything...]")
    .allowUnknownOption()
    .action(() => {
      throw new UserError(
        "what is refused cannot be confirmed: mend it where it is said, or, if it is not-allowed, widen bulkhead-allowed-cidrs in the remote's file; `rejected discard` gives it up",
      );
    });
}

export function rejected(): Command {
  return reader("rejected", "values of remotes that are refused, or wait for what they belong to")
    .enablePositionalOptions()
    .argument("[remote]", "of this remote only")
    .action((remote: string | undefined, options: ReadOptions) =>
      printEach<SetAside>(options, "/v1/rejected", remote, rejectedText),
    )
    .addCommand(discardRejected())
    .addCommand(confirmRejected());
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
