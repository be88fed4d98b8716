/** `bulkhead exporter`: says what this cluster runs, into its etcd. */
import { connectNats } from "../../bus/nats.ts";
import { systemDisk } from "../../disk/system.ts";
import { connectDocker } from "../../docker/engine.ts";
import { connectKube } from "../../kube/client.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import { systemClock } from "../../runtime/clock.ts";
import { runProgram } from "../../runtime/lifecycle.ts";
import { systemRandom } from "../../runtime/random.ts";
import { runExporter } from "./assemble.ts";
import { exporterSettings } from "./settings.ts";

export function main(argv: readonly string[]): Promise<void> {
  const connectors = { connect: connectEtcd, connectBus: connectNats, docker: connectDocker, connectKube };
  const doors = { clock: systemClock, random: systemRandom, disk: systemDisk, ...connectors };
  return runProgram("exporter", exporterSettings, argv, (settings, signal) => runExporter(settings, doors, signal));
}
