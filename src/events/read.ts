/** What a program hands out of the stream of events to whoever asks on its admin socket: those of the whole mesh. */
import { type BusClient, BusError, type ReadRequest, type StoredMessage } from "../bus/client.ts";
import { clusterNameFault } from "../model/cluster.ts";
import { EVENT_KINDS, type EventLine } from "../model/event.ts";
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/user-error.ts";
import { EVENT_STREAM, eventSubject, judgeEvent } from "../wire/event.ts";

export const EVENTS_PATH = "/v1/events";

/** Ids known again, should the stream hold an event twice: it was away for longer than it knows them. */
const MOST_KNOWN = 10_000;

type Query = ReadonlyMap<string, string>;

/**
 * What EVENTS_PATH streams: `sinceMs` (age of the first event) or `after` (a sequence), `cluster`, `kind`, `follow=true`. The last line says
 * what failed, if something did. Throws a UserError when the query is not one.
 */
export function eventLines(
  bus: BusClient | undefined,
  clock: Clock,
  query: Query,
  signal: AbortSignal,
): AsyncIterable<EventLine> {
  if (bus === undefined) throw new UserError("events are told to nobody: start this program with --nats-url");
  return lines(bus, requestOf(query, clock.wallMs()), signal);
}

async function* lines(bus: BusClient, request: ReadRequest, signal: AbortSignal): AsyncGenerator<EventLine> {
  const known = new Set<string>();
  try {
    for await (const message of bus.read(request, signal)) {
      const line = lineOf(message);
      if ("event" in line && isKnown(known, line.event.id)) continue;
      yield line;
    }
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    yield { error: error.message };
  }
}

function lineOf({ subject, data, sequence }: StoredMessage): EventLine {
  const judged = judgeEvent(subject, data);
  if (judged.ok) return { sequence, event: judged.value };
  const { key, reason, detail } = judged.rejection;
  return { sequence, refused: `${key}: ${reason}: ${detail}` };
}

function isKnown(known: Set<string>, id: string): boolean {
  if (known.has(id)) return true;
  known.add(id);
  const [oldest] = known;
  if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  return false;
}

function requestOf(query: Query, nowMs: number): ReadRequest {
  const cluster = query.get("cluster");
  if (cluster !== undefined && clusterNameFault(cluster) !== undefined) {
    throw new UserError(`cluster ${clusterNameFault(cluster)}`);
  }
  const kind = EVENT_KINDS.find((one) => one === query.get("kind"));
  if (query.has("kind") && kind === undefined) throw new UserError(`kind must be one of ${EVENT_KINDS.join(", ")}`);
  const from = startOf(query, nowMs);
  return {
    stream: EVENT_STREAM,
    subject: eventSubject(cluster, kind),
    ...(from && { from }),
    follow: query.get("follow") === "true",
  };
}

function startOf(query: Query, nowMs: number): ReadRequest["from"] {
  const whole = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === undefined) return undefined;
    if (!/^[0-9]{1,15}$/.test(text)) throw new UserError(`${name} must be a whole number`);
    return Number(text);
  };
  const [after, sinceMs] = [whole("after"), whole("sinceMs")];
  if (after !== undefined) return { sequence: after + 1 };
  return sinceMs === undefined ? undefined : { wallMs: Math.max(0, nowMs - sinceMs) };
}
