/** A watch that writes down what it is told. */
import assert from "node:assert/strict";
import type { KvClient, Watch, WatchEnd, WatchEvent, WatchRequest } from "../../src/kv/client.ts";

export class Recorder {
  /** Revision of the answer to the creation. */
  createdAt: number | undefined;
  readonly events: WatchEvent[] = [];
  /** Header revision and number of events of each response. */
  readonly responses: { readonly revision: number; readonly events: number }[] = [];
  /** Progress revisions, each with the number of events before it. */
  readonly progress: { readonly revision: number; readonly events: number }[] = [];
  end: WatchEnd | undefined;
  readonly watch: Watch;

  constructor(kv: KvClient, request: WatchRequest) {
    this.watch = kv.watch(request, {
      created: (header) => {
        this.createdAt = header.revision;
      },
      events: (events, header) => {
        this.responses.push({ revision: header.revision, events: events.length });
        this.events.push(...events);
      },
      progress: (header) => this.progress.push({ revision: header.revision, events: this.events.length }),
      ended: (end) => {
        assert.equal(this.end, undefined, "ends once");
        this.end = end;
      },
    });
  }
}
