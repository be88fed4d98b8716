/** `bulkhead connect` and `disconnect`: joins two clusters both ways, once everything that could be wrong was looked at. */
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { tombstoneOf } from "../../access/remote-files.ts";
import { systemDisk } from "../../disk/system.ts";
import {
  applyChanges,
  type Change,
  connectChanges,
  connectFiles,
  disconnectChanges,
  filesOf,
  nameOf,
  readSide,
  type Side,
  tombstone,
} from "../../join/connection.ts";
import { AGENTS_SECRET, agentsFile, CILIUM_FOLDER, MIRROR_SECRET, secretYaml } from "../../join/secret.ts";
import { parseCidr } from "../../model/address.ts";
import { safeText } from "../../report/text.ts";
import { systemClock } from "../../runtime/clock.ts";
import { EXIT_BAD_INPUT, messageOf, UserError } from "../../runtime/user-error.ts";
import { faultsOf, type Plan, some, type Way } from "./connect-checks.ts";
import { collect, wholeNumber, writeLine } from "./output.ts";

interface Flags {
  readonly configDir?: readonly string[];
  readonly oneWay: boolean;
  readonly dryRun: boolean;
  readonly output?: "yaml";
  readonly namespace: string;
  readonly cilium: boolean;
}

interface ConnectFlags extends Flags {
  readonly allow?: readonly string[];
  readonly at?: readonly string[];
  readonly offline: boolean;
  readonly timeoutMs: number;
}

const SECRETS_HELP = `
With -o yaml nothing is written: what the files would be is printed as Secrets in Cilium's layout, private keys among them. Apply each to the
cluster that its comment names: kubectl apply --server-side --field-manager=bulkhead-PEER, so that the entries of other peers stay.`;

/** `name=value` options by name. */
function byName(flag: string, given: readonly string[] = [], names: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    given.map((pair) => {
      const [name = "", ...rest] = pair.split("=");
      const value = rest.join("=");
      if (names.includes(name) && value !== "") return [name, value] as const;
      throw new UserError(safeText(`${flag} ${pair}: write NAME=..., with NAME one of ${names.join(", ")}`));
    }),
  );
}

/** The ways between two clusters' folders. */
function waysOf(folders: readonly [string, string], { configDir, oneWay }: Flags): readonly Way[] {
  const [a, b] = [nameOf(resolve(folders[0])), nameOf(resolve(folders[1]))];
  if (a === b) throw new UserError(`${a}: both clusters have this name: each must have its own`);
  const given = byName("--config-dir", configDir, [a, b]);
  const way = (from: string, to: string, folder: string): Way => {
    return { from, to, folder: resolve(given.get(from) ?? join(folder, "remotes")) };
  };
  return [way(a, b, folders[0]), ...(oneWay ? [] : [way(b, a, folders[1])])];
}

function cidrsOf(given: string | undefined): readonly string[] | undefined {
  const cidrs = given?.split(",");
  const bad = cidrs?.find((text) => parseCidr(text) === undefined);
  if (bad === undefined) return cidrs;
  throw new UserError(safeText(`--allow ${bad}: is no CIDR, such as 10.2.0.0/16`));
}

async function plansOf(folders: readonly [string, string], flags: ConnectFlags): Promise<readonly Plan[]> {
  const ways = waysOf(folders, flags);
  const names = folders.map((folder) => nameOf(resolve(folder)));
  const [allow, at] = [byName("--allow", flags.allow, names), byName("--at", flags.at, names)];
  const sides = new Map<string, Side>();
  for (const folder of folders) sides.set(nameOf(resolve(folder)), await readSide(systemDisk, resolve(folder)));
  return ways.map((way) => {
    const [from, to] = [sides.get(way.from), sides.get(way.to)];
    if (!from || !to) throw new Error("both sides were read");
    const allowedCidrs = cidrsOf(allow.get(way.to));
    const there = flags.output ? CILIUM_FOLDER : way.folder;
    return { ...way, sides: { from, to }, at: at.get(way.from) ?? there, ...(allowedCidrs && { allowedCidrs }) };
  });
}

function connectSecrets(plans: readonly Plan[], { namespace, cilium }: Flags): string {
  const documents = plans.flatMap((plan) => {
    const comment = `for the cluster ${plan.from}`;
    const mirror = secretYaml(
      { name: MIRROR_SECRET, namespace, comment },
      connectFiles(plan.sides.from, plan.sides.to, plan),
    );
    const agents = new Map([[plan.to, agentsFile(namespace)]]);
    return [mirror, ...(cilium ? [secretYaml({ name: AGENTS_SECRET, namespace, comment }, agents)] : [])];
  });
  return documents.join("---\n").trimEnd();
}

/** Names only: what is in the files is nobody's concern. */
const changeText = ({ path, bytes }: Change): string => `${bytes ? "write" : "remove"} ${path}`;

async function finish(ways: readonly Way[], changes: readonly Change[], dryRun: boolean): Promise<void> {
  if (dryRun) return await writeLine(["would:", ...changes.map(changeText)].join("\n  "));
  for (const { folder } of ways) await systemDisk.mkdir(folder);
  await applyChanges(systemDisk, changes);
}

function proposal(known: ReadonlyMap<string, readonly string[]>, plans: readonly Plan[]): readonly string[] {
  return plans.flatMap(({ to, allowedCidrs }) => {
    const theirs = known.get(to) ?? [];
    if (allowedCidrs || theirs.length === 0) return [];
    return [
      `${to} may say any address that is nobody else's; it has ${some(theirs)}: pin it by --allow ${to}=${theirs.join(",")}`,
    ];
  });
}

async function connect(a: string, b: string, flags: ConnectFlags): Promise<void> {
  const plans = await plansOf([a, b], flags);
  const { faults, known } = await faultsOf(plans, flags).catch((error: unknown) => {
    throw new UserError(messageOf(error));
  });
  if (faults.length > 0) {
    for (const fault of faults) process.stderr.write(`bulkhead: ${safeText(fault)}\n`);
    process.stderr.write("bulkhead: nothing was changed\n");
    process.exitCode = EXIT_BAD_INPUT;
    return;
  }
  if (flags.output) return await writeLine(connectSecrets(plans, flags));
  const changes = plans.flatMap(({ sides, ...link }) => connectChanges(sides.from, sides.to, link));
  await finish(plans, changes, flags.dryRun);
  const done = flags.dryRun
    ? []
    : plans.map((plan) => `${plan.from} follows ${plan.to}: ${join(plan.folder, plan.to)}`);
  await writeLine([...done, ...proposal(known, plans)].map(safeText).join("\n"));
}

/** A folder that was never the one of these remotes is a mistake of whoever names it. */
async function refuseUnconnected({ from, to, folder }: Way): Promise<void> {
  const { files } = await systemDisk.list(folder).catch((error: unknown) => {
    throw new UserError(`--config-dir ${from}=...: ${messageOf(error)}`);
  });
  if (files.some(({ name }) => name === tombstoneOf(to) || filesOf(to).includes(name))) return;
  throw new UserError(`${from} does not follow ${to}: there is no file ${join(folder, to)}; nothing was changed`);
}

async function disconnect(a: string, b: string, flags: Flags): Promise<void> {
  const ways = waysOf([a, b], flags);
  const nowMs = systemClock.wallMs();
  if (flags.output) {
    const documents = ways.map(({ from, to }) => {
      const comment = `for the cluster ${from}`;
      const files = new Map([[tombstoneOf(to), tombstone(nowMs)]]);
      return secretYaml({ name: MIRROR_SECRET, namespace: flags.namespace, comment }, files);
    });
    return await writeLine(documents.join("---\n").trimEnd());
  }
  for (const way of ways) await refuseUnconnected(way);
  const changes = ways.flatMap(({ to, folder }) => disconnectChanges(to, folder, nowMs));
  await finish(ways, changes, flags.dryRun);
  if (flags.dryRun) return;
  await writeLine(
    ways.map(({ from, to }) => `${from} follows ${to} no more: what it mirrored of it is taken out`).join("\n"),
  );
}

function twoClusters(verb: string, description: string): Command {
  return new Command(verb)
    .description(description)
    .argument("<a>", "folder of a cluster's certificates, named as the cluster, as `bulkhead pki issue` makes it")
    .argument("<b>", "likewise")
    .option(
      "--config-dir <name=folder>",
      "folder that the kvstoremesh of NAME has (default: remotes in A or B)",
      collect,
    )
    .option("--one-way", "only A follows B, or does no more", false)
    .option("--dry-run", "only say what would be written", false)
    .addOption(new Option("-o, --output <format>", "print Secrets instead of writing files").choices(["yaml"]))
    .option("--namespace <name>", "of those Secrets", "kube-system")
    .option("--cilium", `also ${AGENTS_SECRET}, for Cilium's agents`, false);
}

export function connectVerb(): Command {
  return twoClusters("connect", "join two clusters, once all that could be wrong was looked at; as often as you like")
    .option("--allow <name=cidrs>", "where the addresses of NAME lie, separated by commas: others are refused", collect)
    .option("--at <name=folder>", "where the kvstoremesh of NAME sees its folder (default: the same path)", collect)
    .option("--offline", "do not look at the etcds: certificates and files only", false)
    .option("--timeout-ms <number>", "of each step", wholeNumber(1, 600_000), 5_000)
    .addHelpText("after", `${SECRETS_HELP}\nExit code: 2 when something is wrong, and nothing was changed then.`)
    .action(connect);
}

export function disconnectVerb(): Command {
  return twoClusters(
    "disconnect",
    "part two clusters: a tombstone takes the place of each one's files, and what was mirrored is taken out",
  )
    .addHelpText("after", SECRETS_HELP)
    .action(disconnect);
}
