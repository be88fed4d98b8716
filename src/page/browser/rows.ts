/** The plain tables: what is not believed, drills, events, programs, problems. */
import type { MeshEvent } from "../../model/event.ts";
import type { PageEvents, PageState } from "../../report/page.ts";
import { duration } from "../../report/text.ts";
import { badge, type Child, element, more, nothing, table, timeOf, toneOf } from "./elements.ts";

type Drawn = readonly Child[];

export function holds({ holds: { rows, total } }: PageState): Drawn {
  if (total === 0) return [nothing("Nothing is held.")];
  const cells = rows.map(({ cluster, remote, kind, state, keys, withdrawals, ageMs, confirmsInMs, example }) => [
    element("strong", {}, remote),
    cluster,
    kind,
    badge(state === "held" ? "warning" : "unknown", state),
    [`${withdrawals} in ${keys} keys`, element("span", { class: "detail" }, element("code", {}, example))],
    duration(ageMs),
    confirmsInMs === undefined ? "an operator decides" : `believed in ${duration(confirmsInMs)} if it is still so`,
  ]);
  const columns = ["Of", "in", "Kind", "State", "Withdrawals", "Since", "Then"];
  return [table("Withdrawals that are held", columns, cells), more(rows.length, total, "`bulkhead holds`")];
}

export function setAside({ setAside: { rows, total } }: PageState): Drawn {
  if (total === 0) return [nothing("No value is refused or parked.")];
  const cells = rows.map(({ cluster, remote, key, reason, detail }) => [
    element("strong", {}, remote),
    cluster,
    badge(reason === "parked" ? "unknown" : "warning", reason),
    [element("code", {}, key), element("span", { class: "detail" }, detail)],
  ]);
  const columns = ["Of", "in", "Why", "Key"];
  return [table("Values that are refused or parked", columns, cells), more(rows.length, total, "`bulkhead rejected`")];
}

/** As many as a person takes in; `bulkhead events` has the others. */
const MOST_EVENTS = 30;
const NO_NATS = "No NATS configured: events are told to nobody. Start the programs with --nats-url.";

/** Why there may be less than there was. */
function trouble({ source, error }: PageEvents): Child {
  return source === "away" ? element("p", { class: "error" }, `NATS cannot be read now: ${error ?? ""}`) : undefined;
}

function details({ details: facts }: MeshEvent): Child {
  const pairs = Object.entries(facts).flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, String(value)),
  ]);
  return pairs.length === 0 ? undefined : element("dl", {}, ...pairs);
}

export function drills({ events }: PageState): Drawn {
  if (events.source === "none") return [nothing(NO_NATS)];
  if (events.drills.length === 0) return [trouble(events), nothing("No drill was told of in the last hour.")];
  const cards = events.drills.map((event) =>
    element(
      "article",
      { class: "drill" },
      element(
        "p",
        {},
        badge(toneOf(event.severity), event.severity),
        " ",
        timeOf(event.time),
        ` ${event.cluster} ${event.program}`,
      ),
      element("p", { class: "line" }, event.line),
      details(event),
    ),
  );
  return [trouble(events), ...cards];
}

export function events({ events: told }: PageState): Drawn {
  if (told.source === "none") return [nothing(NO_NATS)];
  if (told.recent.length === 0) return [trouble(told), nothing("Nothing was told in the last hour.")];
  const cells = told.recent
    .slice(0, MOST_EVENTS)
    .map((event) => [
      timeOf(event.time),
      badge(toneOf(event.severity), event.severity),
      event.kind,
      event.cluster,
      `${event.program} ${event.instance}`,
      event.line,
    ]);
  const columns = ["Time", "Severity", "Kind", "Cluster", "Told by", "What"];
  const rest = more(cells.length, told.recent.length, "`bulkhead events --since 1h`");
  return [trouble(told), table("What happened in the mesh, newest first", columns, cells), rest];
}

export function programs({ clusters }: PageState): Drawn {
  const cells = clusters.flatMap(({ name, elsewhere, programs: own }) => {
    if (elsewhere) return [[element("strong", {}, name), "", badge("unknown", "not on this host"), ""]];
    return own.map((program) => [
      element("strong", {}, name),
      program.name,
      badge(toneOf(program.state), program.state),
      program.detail,
    ]);
  });
  return [table("Programs", ["Cluster", "Program", "State", "Detail"], cells)];
}

export function problems({ problems: { rows, total } }: PageState): Drawn {
  if (total === 0) return [nothing("None.")];
  const cells = rows.map(({ cluster, program, line }) => [element("strong", {}, cluster), program, line]);
  const columns = ["Cluster", "Program", "Problem"];
  return [table("Problems that a person should mend", columns, cells), more(rows.length, total, "`bulkhead status`")];
}
