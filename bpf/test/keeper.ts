// An agent of the kernel's side alone: loads, fills, attaches, says so, and stays until it is killed. Argument: a JSON object.
import { createLibbpfKernel } from "../../src/kernel/libbpf.ts";
import { SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { backendEntry, entriesOf, mapOf, type Place, serviceEntries } from "./entries.ts";
import { loadRequest } from "./stage.ts";

export interface KeeperTask {
  readonly pins: string;
  readonly cgroup: string;
  readonly frontend: Place;
  readonly backend: Place;
}

const task = JSON.parse(process.argv[2] ?? "") as KeeperTask;
const object = await createLibbpfKernel({ clock: systemClock }).load(loadRequest(SOCK_LB_OBJECT, task.pins));
await mapOf(object, "backends").update(entriesOf([backendEntry(1, task.backend)]));
await mapOf(object, "services").update(entriesOf(serviceEntries(task.frontend, [1])));
process.stdout.write(`${JSON.stringify(await object.attachCgroup(task.cgroup))}\n`);
// Lives as long as the test that holds the other end.
process.stdin.on("end", () => process.exit(0)).resume();
