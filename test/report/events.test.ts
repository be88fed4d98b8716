import assert from "node:assert/strict";
import { test } from "node:test";
import { eventText, LostEvents, lostText } from "../../src/report/events.ts";
import { statusText } from "../../src/report/status.ts";
import { EVENT } from "../golden/values.ts";
import { agent } from "./status-examples.ts";

test("an event is one line, a stranger's text in it made harmless", () => {
  assert.equal(
    eventText(EVENT),
    "2026-11-27T15:04:05.678Z warning hold      bergen/kvstoremesh bgo-n1.example: oslo: 1200 withdrawals of ip (1200 keys) are held",
  );
  assert.match(eventText({ ...EVENT, line: "a\u001b[2J\nb" }), /a\\u001b\[2J\\u000ab$/);
});

test("events that were given up are told once, by run", () => {
  const lost = new LostEvents();
  const event = (run: string, count: number): number => lost.before({ ...EVENT, id: `${run}-1`, lost: count });
  assert.deepEqual(
    [event("a", 0), event("a", 3), event("a", 3), event("b", 1), event("a", 2), event("a", 4)],
    [0, 3, 0, 1, 0, 1],
  );
  assert.equal(
    lostText(EVENT, 1),
    "! 1 event is lost of bergen/kvstoremesh bgo-n1.example: NATS was away for too long",
  );
});

test("the status says that events wait or were lost, and nothing when all is well", () => {
  const counts = { emitted: 9, sent: 5, waiting: 4, lost: 0 };
  const text = (events: object): string =>
    statusText([{ ...agent("n1"), events: { ...counts, connected: true, ...events } }]);
  assert.doesNotMatch(text({}), /^ *!/m);
  assert.match(
    text({ connected: false, error: "refused\u001b" }),
    /! agent n1: 4 events wait for NATS: refused\\u001b$/m,
  );
  assert.match(text({ connected: false, lost: 7 }), /! agent n1: 4 events wait for NATS, 7 lost since the start$/m);
  assert.match(text({ lost: 7 }), /! agent n1: events are told again, 7 lost since the start$/m);
});
