// Attaches the probe to a device, says how, and waits to be killed.

import type { LoadRequest } from "../../src/kernel/door.ts";
import { createLibbpfKernel } from "../../src/kernel/libbpf.ts";
import { systemClock } from "../../src/runtime/clock.ts";

export interface DeviceKeeperTask {
  readonly request: LoadRequest;
  readonly device: { readonly ifindex: number; readonly name: string };
}

const { request, device } = JSON.parse(process.argv[2] ?? "") as DeviceKeeperTask;
const object = await createLibbpfKernel({ clock: systemClock }).load(request);
process.stdout.write(`${JSON.stringify(await object.attachDevice(device))}\n`);
// Lives as long as the test that holds the other end.
process.stdin.on("end", () => process.exit(0)).resume();
