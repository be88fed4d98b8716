/** The fault catalogue: every row that the simulation can do. */
import { UserError } from "../../../src/runtime/user-error.ts";
import { HOSTILE_ROWS } from "./hostile.ts";
import { LOCAL_ROWS } from "./local.ts";
import { NETWORK_ROWS } from "./network.ts";
import type { FaultRow } from "./row.ts";
import { WATCH_ROWS } from "./watch.ts";
import { WORLD_ROWS } from "./worlds.ts";

export const ROWS: readonly FaultRow[] = [
  ...WATCH_ROWS,
  ...WORLD_ROWS,
  ...LOCAL_ROWS,
  ...NETWORK_ROWS,
  ...HOSTILE_ROWS,
].sort((left, right) => (left.id < right.id ? -1 : 1));

/** The rows of a list such as `W10,L05`. Throws a UserError. */
export function rowsOf(list: string): readonly FaultRow[] {
  return list.split(",").map((id) => {
    const found = ROWS.find((row) => row.id === id.trim());
    if (found) return found;
    throw new UserError(`--faults ${list}: there is no fault ${id.trim()}; --list shows them`);
  });
}
