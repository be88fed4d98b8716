/** What must be there before an agent touches anything: each check is one line for the person who starts it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { requireBpfFileSystem, requireCgroup2 } from "../../kernel/pins.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../../maps/objects.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import type { AgentSettings } from "./settings.ts";

/** Throws a UserError; changes nothing. */
export function preflight({ objects, cgroup, bpfDir }: Pick<AgentSettings, "objects" | "cgroup" | "bpfDir">): void {
  if (process.geteuid?.() !== 0) throw new UserError("loads eBPF programs and must run as root; use sudo");
  for (const { file } of [SOCK_LB_OBJECT, ENDPOINT_OBJECT]) {
    if (existsSync(join(objects, file))) continue;
    throw new UserError(`--objects ${objects}: ${file} is missing; run deploy/setup, which compiles it`);
  }
  check("--cgroup", () => requireCgroup2(cgroup));
  check("--bpf-dir", () => requireBpfFileSystem(bpfDir));
}

function check(flag: string, require: () => void): void {
  try {
    require();
  } catch (error) {
    throw new UserError(`${flag} ${messageOf(error)}`);
  }
}
