/** What must be there before an agent touches anything: each check is one line for the person who starts it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { requireCgroup2 } from "../../kernel/pins.ts";
import { IPCACHE_OBJECT, SOCK_LB_OBJECT } from "../../maps/objects.ts";
import { UserError } from "../../runtime/user-error.ts";
import type { AgentSettings } from "./settings.ts";

/** Throws a UserError; changes nothing. */
export function preflight({ objects, cgroup }: Pick<AgentSettings, "objects" | "cgroup">): void {
  if (process.geteuid?.() !== 0)
    throw new UserError("bulkhead agent: loads eBPF programs and must run as root; use sudo");
  for (const { file } of [SOCK_LB_OBJECT, IPCACHE_OBJECT]) {
    if (existsSync(join(objects, file))) continue;
    throw new UserError(`--objects ${objects}: ${file} is missing; run deploy/setup, which compiles it`);
  }
  requireCgroup2(cgroup);
}
