/** `bulkhead etcd init`: users and roles of a cluster's etcd. */
import { Command } from "commander";
import { readConnection } from "../../access/etcd.ts";
import { systemDisk } from "../../disk/system.ts";
import { giveRights } from "../../join/rights.ts";
import { rightsOf } from "../../join/roles.ts";
import { KvError } from "../../kv/client.ts";
import { connectAdmin } from "../../kv/etcd-admin.ts";
import { clusterNameFault } from "../../model/cluster.ts";
import { safeText } from "../../report/text.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { encodeEtcdConfig } from "../../wire/etcd-config.ts";
import { aliases, collect, wholeNumber, writeLine } from "./output.ts";

interface InitFlags {
  readonly cluster: string;
  readonly peer?: readonly string[];
  readonly cilium: boolean;
  readonly exact: boolean;
  readonly etcdConfig?: string;
  readonly endpoints?: string;
  readonly address?: readonly string[];
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly timeoutMs: number;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const KEEPALIVE_MS = 10_000;

const HELP = `
A client is who its certificate says (etcd's --client-cert-auth); users have no password. A fresh etcd has no auth yet: begin where nobody else
reaches it, such as on its loopback. One that has it wants a certificate of root: \`bulkhead pki issue FOLDER CLUSTER --role root --lifetime 1h\`.
Nothing is taken away but with --exact. Run it again with every peer of the cluster when one is added.`;

async function connection({ etcdConfig, endpoints, address, ca, cert, key }: InitFlags) {
  if ((etcdConfig === undefined) === (endpoints === undefined)) {
    throw new UserError("give --etcd-config, a client file, or --endpoints (with --ca, --cert and --key)");
  }
  const said =
    etcdConfig === undefined
      ? encodeEtcdConfig({
          endpoints: (endpoints ?? "").split(","),
          hostAliases: aliases(address ?? []),
          ...(ca !== undefined && { caFile: ca }),
          ...(cert !== undefined && { certFile: cert }),
          ...(key !== undefined && { keyFile: key }),
        })
      : undefined;
  try {
    const text = said ?? (await systemDisk.readText(etcdConfig ?? ""));
    return await readConnection(systemDisk, etcdConfig ?? "--endpoints, --ca, --cert, --key", text);
  } catch (error) {
    throw new UserError(messageOf(error));
  }
}

function namedClusters({ cluster, peer = [] }: InitFlags): readonly string[] {
  for (const name of [cluster, ...peer]) {
    const fault = clusterNameFault(name);
    if (fault !== undefined) throw new UserError(safeText(`${name}: a cluster's name ${fault}`));
  }
  if (peer.includes(cluster)) throw new UserError(`--peer ${cluster}: is the cluster itself`);
  return [...new Set(peer)].sort();
}

function mended(error: unknown): unknown {
  if (!(error instanceof KvError)) return error;
  const rootOnly = error.code === "denied" || error.code === "unauthenticated";
  const mend = rootOnly ? "; this etcd has auth: use a certificate of root" : "";
  return new UserError(safeText(`etcd: ${error.message}${mend}; run it again: what was done stays`));
}

async function init(flags: InitFlags): Promise<void> {
  const { cluster, cilium, exact, dryRun, timeoutMs, json } = flags;
  const peers = namedClusters(flags);
  const times = { timeoutMs, keepaliveMs: KEEPALIVE_MS, keepaliveTimeoutMs: timeoutMs };
  const admin = connectAdmin({ ...(await connection(flags)), ...times });
  try {
    const { done, beyond } = await giveRights(admin, rightsOf({ cluster, peers, cilium }), { dryRun, exact });
    if (json) return await writeLine(JSON.stringify({ dryRun, done, beyond }, null, 2));
    const lines = [
      ...done.map((line) => `${dryRun ? "would do" : "done"}: ${line}`),
      ...beyond.map((line) => `! ${line}`),
    ];
    await writeLine(lines.map(safeText).join("\n"));
  } catch (error) {
    throw mended(error);
  } finally {
    admin.close();
  }
}

export function etcdVerb(): Command {
  const verb = new Command("init")
    .description("give an etcd its users, roles and their ranges, and turn on auth; as often as you like")
    .requiredOption("--cluster <name>", "whose etcd it is")
    .option(
      "--peer <cluster>",
      "one that may read it, and whose state our mirror writes; may be given more than once",
      collect,
    )
    .option("--cilium", "also the users of Cilium's own programs in this cluster (one of them is root)", false)
    .option("--exact", "take away what these roles may beyond it, and peers that are not named", false)
    .option("--etcd-config <file>", "client file that says how to reach it, such as FOLDER/CLUSTER/root.yaml")
    .option("--endpoints <urls>", "or: where it is, separated by commas")
    .option("--address <host=ip>", "address of such a host where DNS does not know it", collect)
    .option("--ca <file>", "who signed its certificate")
    .option("--cert <file>", "our certificate, of root where auth is on")
    .option("--key <file>", "its key")
    .option("--timeout-ms <number>", "of each call", wholeNumber(1, 600_000), 5_000)
    .option("--dry-run", "only say what would be done", false)
    .option("--json", "print it as JSON", false)
    .addHelpText("after", HELP)
    .action(init);
  return new Command("etcd").description("users and roles of a cluster's etcd").addCommand(verb);
}
