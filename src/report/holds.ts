/** What `bulkhead holds` and `bulkhead rejected` print. */
import type { HeldKey, HoldStatus, MirrorStatus, ProgramStatus, SetAside } from "../model/status.ts";
import { duration, table } from "./text.ts";

function isMirror(status: ProgramStatus): status is MirrorStatus {
  return status.program === "kvstoremesh";
}

function fate({ state, confirmsInMs }: HoldStatus): string {
  if (confirmsInMs === undefined) return state === "held" ? "waits for an operator" : "stays, as an operator decided";
  return `believed if still so in ${duration(confirmsInMs)}`;
}

/** A row a hold. */
export function holdsText(statuses: readonly ProgramStatus[]): string {
  const columns = ["CLUSTER", "HOLD", "STATE", "KEYS", "WITHDRAWALS", "AGE", "THEN", "SUCH AS"];
  const rows = statuses.filter(isMirror).flatMap(({ cluster, remotes }) =>
    remotes.flatMap(({ name, holds }) =>
      holds.map((hold) => {
        const { kind, state, keys, withdrawals, ageMs, example } = hold;
        const counts = [String(keys), String(withdrawals), duration(ageMs)];
        return [cluster, `${name}/${kind}`, state, ...counts, fate(hold), example];
      }),
    ),
  );
  return rows.length === 0 ? "nothing is held" : table(columns, rows);
}

/** What one mirror says. */
export interface OfCluster<T> {
  readonly cluster: string;
  readonly values: readonly T[];
}

/** A row a key. */
export function heldText(clusters: readonly OfCluster<HeldKey>[]): string {
  const rows = clusters.flatMap(({ cluster, values }) =>
    values.map(({ remote, kind, key, state, withdrawals, ageMs }) => {
      return [cluster, `${remote}/${kind}`, state, String(withdrawals), duration(ageMs), key];
    }),
  );
  if (rows.length === 0) return "nothing like that is held";
  return table(["CLUSTER", "HOLD", "STATE", "WITHDRAWALS", "AGE", "KEY"], rows);
}

/** Counts by reason, then a row a value. */
export function rejectedText(clusters: readonly OfCluster<SetAside>[]): string {
  const all = clusters.flatMap(({ cluster, values }) => values.map((value) => ({ cluster, ...value })));
  if (all.length === 0) return "nothing is refused or parked";
  const reasons = Map.groupBy(all, ({ cluster, remote, reason }) => JSON.stringify([cluster, remote, reason]));
  const counts = [...reasons.values()].map((values) => {
    const [{ cluster, remote, reason } = { cluster: "", remote: "", reason: "" }] = values;
    return [cluster, remote, reason, String(values.length)];
  });
  const rows = all.map(({ cluster, remote, key, reason, detail }) => [cluster, remote, reason, key, detail]);
  return [
    table(["CLUSTER", "REMOTE", "REASON", "VALUES"], counts),
    table(["CLUSTER", "REMOTE", "REASON", "KEY", "WHY"], rows),
  ].join("\n\n");
}
