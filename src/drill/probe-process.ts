/** Probes are sent by a process of their own, in the network and the cgroup that the allow-list names: as a pod there would. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { ProbeCounts } from "../model/drill.ts";
import { UserError } from "../runtime/user-error.ts";
import type { AllowList, Place } from "./allow-list.ts";
import { inNetns } from "./operations.ts";

const MAX_RATE = 1_000;
/** The shell joins the cgroup and then becomes the command, so that the command never runs outside it. */
const JOIN_CGROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"';

type Query = ReadonlyMap<string, string>;

/** `place`, `address`, `port`, `rate`. @throws UserError when the query is not one, or asks for a place that is not on the list. */
export function probeFrom(allowList: AllowList, query: Query, signal: AbortSignal): AsyncIterable<ProbeCounts> {
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
  return countsOf(place, ["--address", address, "--port", String(port), "--rate", String(rate)], signal);
}

async function* countsOf(place: Place, args: readonly string[], signal: AbortSignal): AsyncGenerator<ProbeCounts> {
  const [file = "", ...rest] = proberArgv(place, args);
  const child = spawn(file, rest, { stdio: ["pipe", "pipe", "inherit"] });
  const end = (): boolean => child.kill("SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  failed.catch(() => undefined);
  try {
    if (signal.aborted) return;
    for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line) as ProbeCounts;
    if (!signal.aborted) throw new Error("the prober ended by itself; see the log of drilld");
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

/** This very program, as another verb. */
function proberArgv({ netns, cgroup }: Place, args: readonly string[]): readonly string[] {
  const argv = inNetns(netns, [process.execPath, process.argv[1] ?? "", "drill", "probe", ...args]);
  return cgroup === undefined ? argv : ["sh", "-c", JOIN_CGROUP, cgroup, ...argv];
}
