/**
 * Runs the measurements named on the command line, such as `npm run bench -- P7`; without a name, all. Each prints a line a goal, with its ratio to
 * the floor; `--json`: those that can print it as JSON.
 */
import { UserError } from "../src/runtime/user-error.ts";
import { coldStart } from "./cold-start.ts";
import { initialMirror, largeInitialMirror } from "./p1-initial-mirror.ts";
import { putToCache } from "./p2-put-to-cache.ts";
import { putToMap } from "./p3-put-to-map.ts";
import { fullSync } from "./p4-full-sync.ts";
import { oneBackend } from "./p5-one-backend.ts";
import { connectToService } from "./p6-connect.ts";
import { endpointThroughput } from "./p7-endpoint-throughput.ts";
import { hitlessRestart } from "./p8-hitless-restart.ts";
import { mesh } from "./p11-mesh.ts";
import { idle } from "./p12-idle.ts";
import { slices } from "./slices.ts";

interface Goal {
  readonly id: string;
  readonly what: string;
  run(json: boolean): Promise<void>;
}

const JSON_FLAG = "--json";

const GOALS: readonly Goal[] = [
  { id: "P1", what: "107,000 keys of a remote into an empty local cache", run: initialMirror },
  { id: "P1L", what: "374,500 keys of a remote into an empty local cache, in bounded memory", run: largeInitialMirror },
  { id: "P2", what: "a put in the remote until it is seen in the local cache", run: putToCache },
  { id: "SLICES", what: "how long a mirror of 100,000 addresses holds its loop", run: slices },
  { id: "COLD", what: "an agent on a node that booted, from its snapshot of 100,000 entries to ready", run: coldStart },
  { id: "P3", what: "a put in the remote until it is in the map of a node of another cluster", run: putToMap },
  {
    id: "P4",
    what: "an agent that starts, until 350,000 addresses and 13,000 services are in its maps",
    run: fullSync,
  },
  { id: "P5", what: "one backend of a service of 5,000, from bytes to the kernel's maps", run: oneBackend },
  { id: "P6", what: "connect() to a service through the socket programs", run: connectToService },
  { id: "P7", what: "TCP throughput through endpoint policy and conntrack", run: endpointThroughput },
  { id: "P8", what: "an agent that is killed and started again, while a client calls a service", run: hitlessRestart },
  { id: "P11", what: "250 remotes at once into an empty local cache, then their churn", run: mesh },
  { id: "P12", what: "what a mirror of 350,000 addresses costs while nothing changes", run: idle },
];

function wanted(names: readonly string[]): readonly Goal[] {
  const unknown = names.filter((name) => !GOALS.some(({ id }) => id === name.toUpperCase()));
  if (unknown.length > 0) {
    const known = GOALS.map(({ id, what }) => `${id} (${what})`).join(", ");
    throw new UserError(`bench: there is no ${unknown.join(", ")}; there are: ${known}`);
  }
  return names.length === 0 ? GOALS : GOALS.filter(({ id }) => names.some((name) => name.toUpperCase() === id));
}

try {
  const argv = process.argv.slice(2);
  const json = argv.includes(JSON_FLAG);
  for (const goal of wanted(argv.filter((word) => word !== JSON_FLAG))) {
    if (!json) process.stdout.write(`${goal.id}: ${goal.what}\n`);
    await goal.run(json);
  }
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
