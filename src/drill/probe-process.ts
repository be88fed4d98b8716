/** Probes are sent by a process of their own, in the network and the cgroup, or in the container, that the allow-list names: as a pod there would. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { ProbeCounts } from "../model/drill.ts";
import { UserError } from "../runtime/user-error.ts";
import type { AllowList, Place } from "./allow-list.ts";
import type { Containers } from "./containers.ts";
import { inNetns } from "./operations.ts";

const MAX_RATE = 1_000;
/** The shell joins the cgroup and then becomes the command, so that the command never runs outside it. */
const JOIN_CGROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"';

type Query = ReadonlyMap<string, string>;

export interface ProbeSource {
  readonly allowList: AllowList;
  readonly containers: Containers | undefined;
}

/** `place`, `address`, `port`, `rate`. @throws UserError when the query is not one, or asks for a place that is not on the list. */
export function probeFrom(
  { allowList, containers }: ProbeSource,
  query: Query,
  signal: AbortSignal,
): AsyncIterable<ProbeCounts> {
  const [name = "", address = ""] = [query.get("place"), query.get("address")];
  const place = allowList.probes.find((candidate) => candidate.name === name);
  if (!place) {
    const known = allowList.probes.map((candidate) => candidate.name).join(", ") || "none";
    throw new UserError(`place ${name} is not on the allow-list of this drilld; on it: ${known}`);
  }
  const [port, rate] = [Number(query.get("port")), Number(query.get("rate"))];
  const isPort = Number.isInteger(port) && port >= 1 && port <= 65_535;
  if (!/^[0-9a-f.:]{2,45}$/.test(address) || !isPort)
    throw new UserError("address and port must be those of a service");
  if (!(rate >= 1 && rate <= MAX_RATE)) throw new UserError(`rate must be a number from 1 to ${MAX_RATE}`);
  const args = ["drill", "probe", "--address", address, "--port", String(port), "--rate", String(rate)];
  return countsOf(linesOf(place, args, containers, signal), signal);
}

async function* countsOf(lines: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<ProbeCounts> {
  for await (const line of lines) yield readCounts(line);
  if (!signal.aborted) throw new Error("the prober ended by itself; see the log of drilld");
}

function readCounts(line: string): ProbeCounts {
  try {
    return JSON.parse(line) as ProbeCounts;
  } catch {
    throw new Error(`the prober says: ${line}`);
  }
}

function linesOf(
  place: Place,
  args: readonly string[],
  containers: Containers | undefined,
  signal: AbortSignal,
): AsyncIterable<string> {
  if (place.container === undefined) return linesOfProcess(proberArgv(place, args), signal);
  if (containers === undefined) throw new UserError(`place ${place.name} is a container: give drilld --docker-socket`);
  return containers.lines(place.container, ["bulkhead", ...args], signal);
}

async function* linesOfProcess([file = "", ...rest]: readonly string[], signal: AbortSignal): AsyncGenerator<string> {
  const child = spawn(file, rest, { stdio: ["pipe", "pipe", "inherit"] });
  const end = (): boolean => child.kill("SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  failed.catch(() => undefined);
  try {
    if (signal.aborted) return;
    yield* createInterface({ input: child.stdout });
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

/** This very program, as another verb. */
function proberArgv({ netns, cgroup }: Place, args: readonly string[]): readonly string[] {
  const argv = inNetns(netns, [process.execPath, process.argv[1] ?? "", ...args]);
  return cgroup === undefined ? argv : ["sh", "-c", JOIN_CGROUP, cgroup, ...argv];
}
