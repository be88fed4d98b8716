/** What the tests of drills share: an allow-list, hands that write down what they are told. */
import assert from "node:assert/strict";
import { parseAllowList } from "../../src/drill/allow-list.ts";
import type { Hands } from "../../src/drill/hands.ts";
import { type Operation, operationText } from "../../src/drill/operations.ts";
import { UserError } from "../../src/runtime/user-error.ts";

export const ALLOW_LIST = {
  version: 1,
  probes: [{ name: "client" }],
  targets: [
    {
      name: "etcd",
      faults: ["kill", "freeze", "wipe", "restore-old", "quota"],
      process: { pidFile: "/run/etcd.pid", command: "etcd", start: ["etcd", "--name", "osaka"] },
      etcd: { config: "/etc/etcd.yaml", data: "/var/etcd", backup: "/var/backup" },
    },
    { name: "port", faults: ["blackhole"], device: { name: "eth0", port: 2379 } },
    { name: "link", faults: ["flap", "link-down"], device: { name: "eth0", netns: "/var/run/netns/wan" } },
  ],
};

export const allowList = () => parseAllowList("allow.yaml", JSON.stringify(ALLOW_LIST));

export class RecordingHands implements Hands {
  readonly done: string[] = [];
  /** Throws, or never resolves, in the middle of an operation. */
  before: (operation: Operation) => Promise<void> | void = () => undefined;

  async carryOut(operation: Operation): Promise<void> {
    await this.before(operation);
    this.done.push(operationText(operation));
  }
}

export async function refused(work: Promise<unknown>, line: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, line);
    return true;
  });
}
