// docs/SETTINGS.md as the settings' declarations give it. `npm run fix` writes it; a test holds the file to it.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { commonSettings } from "../../src/access/settings.ts";
import { agentSettings } from "../../src/programs/agent/settings.ts";
import { drilldSettings } from "../../src/programs/drilld/settings.ts";
import { exporterSettings } from "../../src/programs/exporter/settings.ts";
import { mirrorSettings } from "../../src/programs/kvstoremesh/settings.ts";
import { describeSettings, flagOf, type SettingLine, settingsSchema } from "../../src/runtime/settings.ts";

export const SETTINGS_PAGE = fileURLToPath(new URL("../../docs/SETTINGS.md", import.meta.url));

const INTRODUCTION = `# Settings

Written by \`npm run fix\` from the declarations that the programs check their flags with; do not edit.

Every setting is a flag: \`bulkhead agent --node n1 ...\`. \`bulkhead <program> --help\` prints them. All are checked before anything is touched: a
bad one is one line on standard error and exit code 2. Names end in their unit. Every interval is a setting, so that tests can run at a fraction of it.`;

function table(lines: readonly SettingLine[]): string {
  const rows = lines.map((line) => `| \`${line.flag}\` | ${line.default} | ${line.description} |`);
  return ["| flag | default | meaning |", "|---|---|---|", ...rows].join("\n");
}

const common = new Set(Object.keys(commonSettings).map(flagOf));

function own(schema: Parameters<typeof describeSettings>[0]): string {
  return table(describeSettings(schema).filter(({ flag }) => !common.has(flag)));
}

export function settingsPage(): string {
  const sections = [
    INTRODUCTION,
    `## Every program\n\n${table(describeSettings(settingsSchema(commonSettings)))}`,
    `## exporter\n\n${own(exporterSettings)}`,
    `## kvstoremesh\n\n${own(mirrorSettings)}`,
    `## agent\n\n${own(agentSettings)}`,
    `## drilld\n\nIt asks no etcd on its own: \`--cluster-id\` and \`--etcd-*\` are none of its settings.\n\n${own(drilldSettings)}`,
  ];
  return `${sections.join("\n\n")}\n`;
}

if (import.meta.main) writeFileSync(SETTINGS_PAGE, settingsPage());
