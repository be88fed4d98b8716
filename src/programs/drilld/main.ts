/** `bulkhead drilld`: does to this cluster what a drill asks for, as far as its allow-list goes, and undoes it. */
import { connectNats } from "../../bus/nats.ts";
import { systemDisk } from "../../disk/system.ts";
import { connectControl } from "../../docker/engine-control.ts";
import { FileGateway } from "../../drill/etcd-gateway.ts";
import { SystemHands } from "../../drill/hands.ts";
import { systemClock } from "../../runtime/clock.ts";
import { runProgram } from "../../runtime/lifecycle.ts";
import { systemRandom } from "../../runtime/random.ts";
import { runDrilld } from "./assemble.ts";
import { drilldSettings } from "./settings.ts";

export function main(argv: readonly string[]): Promise<void> {
  const hands = new SystemHands(systemClock, new FileGateway(systemDisk));
  const outside = { disk: systemDisk, connectBus: connectNats, docker: connectControl, hands };
  const doors = { clock: systemClock, random: systemRandom, ...outside };
  return runProgram("drilld", drilldSettings, argv, (settings, signal) => runDrilld(settings, doors, signal));
}
