/** Driving docker-compose.yml as a person does: by Compose and Docker, from outside. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { command } from "../deploy/lab/command.ts";
import { waitFor } from "../deploy/lab/lab.ts";
import type { AgentStatus, ProgramStatus, RemoteStatus } from "../src/model/status.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BUILD_TIMEOUT_MS = 12 * 60_000;
const COMPOSE_TIMEOUT_MS = 3 * 60_000;
const WITHIN_MS = 90_000;

export const CLUSTERS = ["amsterdam", "osaka", "virginia"] as const;
export type Cluster = (typeof CLUSTERS)[number];

export const PROJECT = "bulkhead-e2e";
export const ENV = {
  COMPOSE_PROJECT_NAME: PROJECT,
  BULKHEAD_IMAGE: "bulkhead-e2e",
  // Not where a lab of this machine has its own.
  BULKHEAD_PAGE: "127.0.0.1:19889",
  // Compose mounts the socket of the engine that it talks to.
  ...(process.env["DOCKER_HOST"]?.startsWith("unix://") && { DOCKER_SOCKET: process.env["DOCKER_HOST"].slice(7) }),
};

function succeeds(...argv: readonly string[]): boolean {
  const [file = "", ...args] = argv;
  return spawnSync(file, args, { stdio: "ignore", timeout: 20_000 }).status === 0;
}

const VERSION_2 = ["docker", "compose"];
/** The words that begin a Compose command: version 2, else 1.29. */
let words = succeeds(...VERSION_2, "version") ? VERSION_2 : ["docker-compose"];

/** From here on it is version 2: that of Debian 13, where none is installed. */
export async function composeVersion2(): Promise<void> {
  if (words === VERSION_2) return;
  const folder = await command([`${ROOT}deploy/debian-13`, "docker-compose"], { timeoutMs: COMPOSE_TIMEOUT_MS });
  process.env["DOCKER_CONFIG"] = `${folder.trim()}/usr/libexec/docker`;
  words = VERSION_2;
}

/** Why the mesh of containers cannot run here; undefined: it can. */
export function notRun(): string | undefined {
  if (!succeeds("docker", "version")) return "not run: no Docker engine";
  if (!succeeds(...words, "version")) return "not run: no Docker Compose";
  return undefined;
}

export function docker(...args: readonly string[]): Promise<string> {
  return command(["docker", ...args]);
}

export function compose(...args: readonly string[]): Promise<string> {
  const argv = [...words, "--project-directory", ROOT, "-f", `${ROOT}docker-compose.yml`, ...args];
  return command(argv, { env: ENV, timeoutMs: COMPOSE_TIMEOUT_MS });
}

/** The image as the tree is now: what was built before is not taken. */
export async function build(): Promise<void> {
  await command([`${ROOT}deploy/images/build`, ENV.BULKHEAD_IMAGE], { timeoutMs: BUILD_TIMEOUT_MS });
}

/** Bytes. */
export async function imageSize(): Promise<number> {
  return Number(await docker("image", "inspect", "--format", "{{.Size}}", ENV.BULKHEAD_IMAGE));
}

/** With what is off by default, if its profiles are named. */
export async function up(...profiles: readonly string[]): Promise<void> {
  await compose(...profiles.flatMap((profile) => ["--profile", profile]), "up", "-d", "--no-build");
}

/** Containers, networks and volumes, those of a run that was broken off too. */
export async function down(): Promise<void> {
  await compose(
    "--profile",
    "drills",
    "--profile",
    "standby",
    "down",
    "--volumes",
    "--remove-orphans",
    "--timeout",
    "3",
  );
}

export async function containerOf(service: string): Promise<string> {
  const label = (name: string, value: string): string => `--filter=label=com.docker.compose.${name}=${value}`;
  return (await docker("ps", "-aq", label("project", PROJECT), label("service", service))).trim();
}

/** Everything that a service's container has written, standard error too. */
export async function logsOf(service: string): Promise<string> {
  return await command(["sh", "-c", `docker logs ${await containerOf(service)} 2>&1`]);
}

/** Standard output of a command inside a service's container; an exit code other than 0 rejects unless it is among `codes`. */
export async function inside(
  service: string,
  argv: readonly string[],
  codes: readonly number[] = [0],
): Promise<string> {
  return await command(["docker", "exec", await containerOf(service), ...argv], { codes });
}

export function bulkhead(cluster: Cluster, ...words: readonly string[]): Promise<string> {
  return inside(`${cluster}-agent`, ["bulkhead", ...words], [0, 3]);
}

async function statusesOf(own: Cluster): Promise<readonly ProgramStatus[]> {
  return readStatuses(await bulkhead(own, "status", "--json")).filter(({ cluster }) => cluster === own);
}

export function readStatuses(json: string): readonly ProgramStatus[] {
  return (JSON.parse(json) as { readonly statuses: readonly ProgramStatus[] }).statuses;
}

/** What any program of the mesh complains of, a line each: a right that an etcd does not give it, among others. */
export async function complaints(): Promise<readonly string[]> {
  const statuses = (await Promise.all(CLUSTERS.map(statusesOf))).flat();
  return statuses.flatMap((status) => {
    const { program, cluster, problems } = status;
    const remotes = status.program === "kvstoremesh" ? status.remotes : [];
    const lines = [
      ...problems,
      ...remotes.flatMap(({ name, lastError }) => (lastError ? [`${name}: ${lastError}`] : [])),
    ];
    return lines.map((line) => `${cluster}/${program}: ${line}`);
  });
}

/** What a cluster's kvstoremesh says of another cluster. */
export async function remote(own: Cluster, name: Cluster): Promise<RemoteStatus | undefined> {
  for (const status of await statusesOf(own)) {
    if (status.program === "kvstoremesh") return status.remotes.find((one) => one.name === name);
  }
  return undefined;
}

/** Undefined while it does not answer. */
export async function agentOf(own: Cluster): Promise<AgentStatus | undefined> {
  const statuses: readonly ProgramStatus[] = await statusesOf(own).catch(() => []);
  return statuses.find((status): status is AgentStatus => status.program === "agent");
}

/** What a client said of some two seconds. */
export interface Report {
  /** Calls that were answered, by cluster. */
  readonly answers: Readonly<Record<string, number>>;
  /** "" when none failed. */
  readonly failed: string;
}

/** The two services that every client calls: one of all clusters, and one of its own. */
export type Called = "hello.demo" | "ledger.demo";

const LINE = /^\d+ calls of (\S+) {3}(.*?) {3}(?:0 failed|failed: (.*?)) {3}p50/;

function readReport(line: string, service: Called): Report | undefined {
  const found = LINE.exec(line);
  if (found === null || found[1] !== service) return undefined;
  const counts = [...(found[2] ?? "").matchAll(/(\w+) (\d+)/g)].map(([, name = "", count]) => [name, Number(count)]);
  return { answers: Object.fromEntries(counts), failed: found[3] ?? "" };
}

/** All that a cluster's client has said so far. */
export async function reports(cluster: Cluster, service: Called = "hello.demo"): Promise<readonly Report[]> {
  const said = await docker("logs", await containerOf(`${cluster}-client`));
  return said.split("\n").flatMap((line) => readReport(line, service) ?? []);
}

/** The next `count` reports of every client, by cluster. */
export async function nextReports(count: number): Promise<ReadonlyMap<Cluster, readonly Report[]>> {
  const skipped = new Map<Cluster, number>();
  for (const cluster of CLUSTERS) skipped.set(cluster, (await reports(cluster)).length + 1);
  const found = new Map<Cluster, readonly Report[]>();
  for (const cluster of CLUSTERS) {
    const fresh = await waitFor(`${count} reports of ${cluster}'s client`, WITHIN_MS, async () => {
      const since = (await reports(cluster)).slice(skipped.get(cluster));
      return since.length >= count ? since.slice(0, count) : undefined;
    });
    found.set(cluster, fresh);
  }
  return found;
}

/** Resolves once a report of the cluster's client fits. */
export async function eventually(cluster: Cluster, what: string, fits: (report: Report) => boolean): Promise<void> {
  let last: Report | undefined;
  const ask = async (): Promise<true | undefined> => {
    last = (await reports(cluster)).at(-1);
    return last !== undefined && fits(last) ? true : undefined;
  };
  await waitFor(`${cluster}'s client: ${what}`, WITHIN_MS, ask, () => JSON.stringify(last));
}
