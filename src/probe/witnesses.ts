/**
 * What connections of workloads say of the way to a cluster: no more than they can know. Few of them say nothing, and those that met no answer at one
 * address only tell of that address. Pure.
 */
import { type Counts, since } from "./connections.ts";

/** Connections that were silent, and answered, from which on they are a word. */
export const LEAST_SILENT = 5;
export const LEAST_ANSWERED = 5;
/** Addresses, at least, that the silent ones went to. */
export const LEAST_PLACES = 2;

/** `answers`: the way works; `silence`: nobody was heard at several addresses; `nothing`: too few, or both. */
export type Word = "answers" | "silence" | "nothing";

/**
 * @param then counts when the last round had ended; silence needs seconds to be noticed.
 * @param lately counts a moment ago: what was answered before that may have been when all was well.
 */
export function wordOf(then: Counts, lately: Counts, now: Counts): Word {
  const latest = since(lately, now);
  const answered = latest.established + latest.refused;
  if (answered >= LEAST_ANSWERED) return "answers";
  const { silent, silentAt } = since(then, now);
  return answered === 0 && silent >= LEAST_SILENT && silentAt.size >= LEAST_PLACES ? "silence" : "nothing";
}
