/** How to reach an etcd, in Cilium's etcd client YAML. Reads text only: the files it names are read by others. */
import { formatCidr, parseAddress } from "../model/address.ts";
import type { Judged } from "../model/resource.ts";
import { accept, reject } from "../model/resource.ts";
import { isPort } from "./address-ports.ts";
import { readCidr } from "./addresses.ts";
import { Fields } from "./fields.ts";
import type { Tree } from "./json.ts";
import { type Path, quote, Refusal } from "./refusal.ts";
import { readYaml } from "./yaml.ts";

export interface HostAlias {
  readonly hostname: string;
  /** Addresses to dial instead of resolving the name; at least one. */
  readonly ips: readonly string[];
}

export interface EtcdConfig {
  /** `http(s)://host:port`, all of one scheme; at least one. */
  readonly endpoints: readonly string[];
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly hostAliases: readonly HostAlias[];
  /** Ours: where the cluster's addresses lie, canonical CIDRs; absent: wherever its nodes say. */
  readonly allowedCidrs?: readonly string[];
  /** Options that are in the file and change nothing here. */
  readonly ignored: readonly string[];
}

const ALLOWED_CIDRS = "bulkhead-allowed-cidrs";

const READ: ReadonlySet<string> = new Set([
  "endpoints",
  "trusted-ca-file",
  "cert-file",
  "key-file",
  "cilium-host-aliases",
  ALLOWED_CIDRS,
]);

/** Options that would change whom we trust or who we are: ignoring them would be worse than refusing. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["insecure-skip-tls-verify", "is not supported: name the authority in trusted-ca-file"],
  ["username", "is not supported: use cert-file and key-file"],
  ["password", "is not supported: use cert-file and key-file"],
]);

const SCHEMES = ["https://", "http://"];

/** Whether a file of a config directory is a cluster's config, and not a certificate or a key that lies beside it. */
export function isEtcdConfig(text: string): boolean {
  return text.split("\n").some((line) => /^\s*\{?\s*["']?endpoints["']?\s*:/.test(line));
}

function schemeOf(endpoint: string): string {
  return SCHEMES.find((scheme) => endpoint.startsWith(scheme)) ?? "";
}

function readEndpoint(text: string, path: Path): string {
  const scheme = schemeOf(text);
  const colon = text.lastIndexOf(":");
  const host = text.slice(scheme.length, colon);
  const port = text.slice(colon + 1);
  const bracketed = host.startsWith("[") && host.endsWith("]") && parseAddress(host.slice(1, -1)) !== undefined;
  const named = /^[A-Za-z0-9._-]+$/.test(host);
  if (scheme === "" || !(bracketed || named) || !/^[0-9]{1,5}$/.test(port) || !isPort(Number(port))) {
    throw new Refusal("malformed", `${quote(text)} must be http(s)://HOST:PORT, such as https://10.0.0.1:2379`, path);
  }
  return text;
}

function readEndpoints(fields: Fields): readonly string[] {
  const endpoints = fields.texts("endpoints").map((text, index) => readEndpoint(text, ["endpoints", index]));
  if (endpoints.length === 0) throw fields.refusal("endpoints", "must list at least one https://HOST:PORT");
  if (new Set(endpoints.map(schemeOf)).size > 1) throw fields.refusal("endpoints", "must all be https or all be http");
  return endpoints;
}

function readAliases(fields: Fields): readonly HostAlias[] {
  const seen = new Set<string>();
  return fields.objects("cilium-host-aliases").map((item) => {
    // Names differ by more than the size of their letters; endpoints, as URLs, come out in small ones.
    const hostname = item.text("hostname").toLowerCase();
    const ips = item.texts("ips");
    if (hostname === "") throw item.refusal("hostname", "must name a host");
    if (seen.has(hostname)) throw item.refusal("hostname", `${quote(hostname)} occurs twice; keep one`);
    if (ips.length === 0) throw item.refusal("ips", "must list at least one address");
    const bad = ips.findIndex((ip) => parseAddress(ip) === undefined);
    if (bad >= 0) throw new Refusal("malformed", "must be an IP address", [...item.path, "ips", bad]);
    seen.add(hostname);
    return { hostname, ips };
  });
}

function readAllowed(fields: Fields): readonly string[] {
  const cidrs = fields.texts(ALLOWED_CIDRS).map((text, index) => formatCidr(readCidr(text, [ALLOWED_CIDRS, index])));
  if (cidrs.length === 0) throw fields.refusal(ALLOWED_CIDRS, "must list at least one CIDR, such as 10.2.0.0/16");
  return cidrs;
}

function refuseUnsafe(fields: Fields): void {
  for (const [option, mend] of REFUSED) {
    const tree = fields.tree(option);
    if (tree !== null && tree !== false && tree !== "") throw fields.refusal(option, mend);
  }
}

function read(tree: Tree): EtcdConfig {
  if (tree === null) throw new Refusal("malformed", "is empty; it must list endpoints");
  const fields = new Fields(tree);
  refuseUnsafe(fields);
  const endpoints = readEndpoints(fields);
  const caFile = fields.text("trusted-ca-file");
  const certFile = fields.text("cert-file");
  const keyFile = fields.text("key-file");
  if ((certFile === "") !== (keyFile === "")) {
    throw fields.refusal(
      certFile === "" ? "key-file" : "cert-file",
      "needs the other: name both cert-file and key-file",
    );
  }
  return {
    endpoints,
    ...(caFile === "" ? {} : { caFile }),
    ...(certFile === "" ? {} : { certFile, keyFile }),
    hostAliases: readAliases(fields),
    ...(fields.has(ALLOWED_CIDRS) && { allowedCidrs: readAllowed(fields) }),
    ignored: [...fields.names()].filter((name) => !READ.has(name) && !REFUSED.has(name)),
  };
}

/** On failure the rejection's detail is one line: file, line, what is wrong and how to mend it. */
export function parseEtcdConfig(file: string, text: string): Judged<EtcdConfig> {
  const result = readYaml({ file, text, firstLine: 1 }, read);
  return result.ok ? accept(result.value) : reject(file, "malformed", result.line);
}

/** What is absent is left out. Every text is quoted as in JSON, which is YAML. */
export function encodeEtcdConfig(config: Omit<EtcdConfig, "ignored">): string {
  const { endpoints, caFile, certFile, keyFile, hostAliases, allowedCidrs } = config;
  const lines = [
    ["endpoints", endpoints],
    ["trusted-ca-file", caFile],
    ["cert-file", certFile],
    ["key-file", keyFile],
    ["cilium-host-aliases", hostAliases.length > 0 ? hostAliases : undefined],
    [ALLOWED_CIDRS, allowedCidrs],
  ] as const;
  const said = lines.filter(([, value]) => value !== undefined);
  return said.map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`).join("");
}
