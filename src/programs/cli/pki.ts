/** `bulkhead pki`: the certificates of a mesh, in a folder. */
import { resolve } from "node:path";
import { Argument, Command, Option } from "commander";
import { systemDisk } from "../../disk/system.ts";
import {
  type CertificateRole,
  DEFAULT_ROLES,
  MeshPki,
  ROLES,
  type RotationStep,
  readPair,
  rotationSteps,
} from "../../join/pki.ts";
import { makeCertificate } from "../../join/x509.ts";
import { duration, table } from "../../report/text.ts";
import { systemClock } from "../../runtime/clock.ts";
import { UserError } from "../../runtime/user-error.ts";
import { aliases, collect, span, writeLine } from "./output.ts";

const DAY_MS = 86_400_000;
const LEAF_LIFETIME_MS = 90 * DAY_MS;
const AUTHORITY_LIFETIME_MS = 3_650 * DAY_MS;

interface GivenAuthority {
  readonly caCert?: string;
  readonly caKey?: string;
}

interface Lifetime {
  readonly lifetime: number;
}

interface IssueFlags extends Lifetime {
  readonly endpoint?: readonly string[];
  readonly address?: readonly string[];
  readonly name?: readonly string[];
  readonly role?: readonly CertificateRole[];
  readonly at?: string;
}

/** Files name it, and are read from elsewhere: the whole path. */
const pki = (folder: string): MeshPki =>
  new MeshPki({ disk: systemDisk, clock: systemClock, make: makeCertificate }, resolve(folder));

function given({ caCert, caKey }: GivenAuthority) {
  if (!caCert !== !caKey) throw new UserError("--ca-cert and --ca-key belong together: give both or none");
  return caCert && caKey ? readPair(systemDisk, caCert, caKey) : undefined;
}

const withAuthority = (command: Command): Command =>
  command
    .option("--ca-cert <file>", "take this authority instead of making one, such as cert-manager's tls.crt")
    .option("--ca-key <file>", "its key");

const lifetime = (flag: string, defaultMs: number, text: string): Option =>
  new Option(`${flag} <age>`, text).argParser(span).default(defaultMs, duration(defaultMs));

function init(): Command {
  return withAuthority(new Command("init"))
    .description("make the authority that signs the mesh's certificates")
    .argument("<folder>")
    .addOption(lifetime("--lifetime", AUTHORITY_LIFETIME_MS, "how long it holds"))
    .action(async (folder: string, options: GivenAuthority & Lifetime) => {
      await pki(folder).init(await given(options), options.lifetime);
      await writeLine(`${folder}/authority signs now; keep its key where no program of the mesh runs`);
    });
}

function issue(): Command {
  return new Command("issue")
    .description("make, or make anew, the certificates of a cluster: of its etcd and of each program")
    .argument("<folder>")
    .argument("<cluster>")
    .option("--endpoint <url>", "where clients reach its etcd, https://HOST:PORT; may be given more than once", collect)
    .option("--address <host=ip>", "address of such a host where DNS does not know it; likewise", collect)
    .option("--name <name>", "another host name or address of its etcd; likewise", collect)
    .addOption(
      new Option("--role <role...>", `which certificates (default: ${DEFAULT_ROLES.join(", ")})`).choices(ROLES),
    )
    .option("--at <folder>", "where the cluster's folder will be when programs read it (default: where it is)")
    .addOption(lifetime("--lifetime", LEAF_LIFETIME_MS, "how long they hold, such as 90d or 12h"))
    .action(async (folder: string, cluster: string, { endpoint, address, name, role, at, lifetime }: IssueFlags) => {
      const files = await pki(folder).issue({
        cluster,
        roles: role ?? DEFAULT_ROLES,
        lifetimeMs: lifetime,
        ...(endpoint && { endpoints: endpoint }),
        hostAliases: aliases(address ?? []),
        ...(name && { names: name }),
        ...(at !== undefined && { at }),
      });
      await writeLine(files.join("\n"));
    });
}

function show(): Command {
  return new Command("show")
    .description("every certificate of the folder, and how long it holds")
    .argument("<folder>")
    .option("--json", "print the records as JSON", false)
    .action(async (folder: string, { json }: { readonly json: boolean }) => {
      const shown = await pki(folder).show();
      if (json) return writeLine(JSON.stringify(shown, null, 2));
      const rows = shown.map(({ file, subject, names, issuer, until, leftMs }) => {
        const left = leftMs < 0 ? "EXPIRED" : duration(leftMs);
        return [file, subject, names || "-", issuer, until.replace(/\.\d+Z$/, "Z"), left];
      });
      await writeLine(table(["FILE", "SUBJECT", "NAMES", "ISSUER", "UNTIL", "LEFT"], rows));
    });
}

/** What has to happen before the next step. */
const NEXT: Readonly<Record<RotationStep, string>> = {
  trust: "next: give every program and etcd its new ca.crt, restart the etcds, `connect` again; then `rotate switch`",
  switch: "next: give every program and etcd its new files, `connect` again; when all have them, `rotate retire`",
  retire: "next: give every program and etcd its new ca.crt, restart the etcds, `connect` again",
  renew: "next: give every program and etcd its new files, `connect` again",
};

const STEPS_TEXT = `
Steps, each of which is done everywhere before the next one begins:
  renew   new certificates of the same authority
  trust   a new authority, which everybody trusts beside the old one; it signs nothing yet
  switch  it signs: new certificates for all; the old one is still trusted
  retire  the old one is trusted no more`;

interface RotateFlags extends Lifetime, GivenAuthority {
  readonly caLifetime: number;
}

function rotate(): Command {
  return withAuthority(new Command("rotate"))
    .description("replace certificates, or the authority in three steps")
    .argument("<folder>")
    .addArgument(new Argument("<step>").choices(rotationSteps))
    .addOption(lifetime("--lifetime", LEAF_LIFETIME_MS, "how long certificates hold"))
    .addOption(lifetime("--ca-lifetime", AUTHORITY_LIFETIME_MS, "how long a new authority holds"))
    .addHelpText("after", STEPS_TEXT)
    .action(async (folder: string, step: RotationStep, options: RotateFlags) => {
      const clusters = await pki(folder).rotate(step, options.lifetime, options.caLifetime, await given(options));
      await writeLine(`${step}: ${clusters.join(", ") || "no cluster"}; ${NEXT[step]}`);
    });
}

export function pkiVerb(): Command {
  return new Command("pki")
    .description("certificates of the mesh: an authority, and one a cluster and role")
    .addCommand(init())
    .addCommand(issue())
    .addCommand(show())
    .addCommand(rotate());
}
