/** `bulkhead kvstoremesh`: mirrors other clusters' etcds into the local cache. */
import { connectNats } from "../../bus/nats.ts";
import { systemDisk } from "../../disk/system.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import { systemClock } from "../../runtime/clock.ts";
import { runProgram } from "../../runtime/lifecycle.ts";
import { systemRandom } from "../../runtime/random.ts";
import { assemble } from "./assemble.ts";
import { mirrorSettings } from "./settings.ts";

export function main(argv: readonly string[]): Promise<void> {
  const connectors = { connect: connectEtcd, connectBus: connectNats };
  const doors = { clock: systemClock, random: systemRandom, disk: systemDisk, ...connectors };
  return runProgram("kvstoremesh", mirrorSettings, argv, (settings, signal) => assemble(settings, doors, signal));
}
