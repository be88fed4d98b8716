/** Settings of drilld: its flags. */
import { commonSettings } from "../../access/settings.ts";
import { durationMs, type SettingsOf, settingsSchema, text } from "../../runtime/settings.ts";

/** It belongs to a cluster, and is no part of it. */
const {
  clusterId: _clusterId,
  etcdConfig: _etcdConfig,
  etcdTimeoutMs: _etcdTimeoutMs,
  etcdKeepaliveMs: _etcdKeepaliveMs,
  etcdKeepaliveTimeoutMs: _etcdKeepaliveTimeoutMs,
  ...shared
} = commonSettings;

export const drilldSettings = settingsSchema({
  ...shared,
  allowList: text.describe(
    "YAML file of what may be done to which target; writable by its owner alone. Read at start.",
  ),
  stateDir: text.describe(
    "Folder of what is to be undone; it must outlive the process, and better the machine's start.",
  ),
  dockerSocket: text
    .optional()
    .describe(
      "Unix socket of the Docker engine whose containers the allow-list names. Whoever holds it may do anything to that engine.",
    ),
  maxFaultMs: durationMs.default(600_000).describe("Longest time that a fault may last."),
});

export type DrilldSettings = SettingsOf<typeof drilldSettings>;
