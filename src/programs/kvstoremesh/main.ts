/** `bulkhead kvstoremesh`: mirrors other clusters' etcds into the local cache. */
import { systemDisk } from "../../disk/system.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import { systemClock } from "../../runtime/clock.ts";
import { runProgram } from "../../runtime/lifecycle.ts";
import { systemRandom } from "../../runtime/random.ts";
import { assemble } from "./assemble.ts";
import { mirrorSettings } from "./settings.ts";

export function main(argv: readonly string[]): Promise<void> {
  const doors = { clock: systemClock, random: systemRandom, disk: systemDisk, connect: connectEtcd };
  return runProgram("kvstoremesh", mirrorSettings, argv, (settings, signal) => assemble(settings, doors, signal));
}
