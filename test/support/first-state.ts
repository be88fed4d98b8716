import assert from "node:assert/strict";
import type { PageState } from "../../src/report/page.ts";

/** The first state that an open page is told. */
export async function firstState(body: ReadableStream<Uint8Array>): Promise<PageState> {
  let text = "";
  for await (const bytes of body.values({ preventCancel: true })) {
    text += Buffer.from(bytes).toString("utf8");
    const [, state] = /^event: state\ndata: (.*)\n\n/m.exec(text) ?? [];
    if (state !== undefined) return JSON.parse(state) as PageState;
  }
  return assert.fail(`no state in ${text}`);
}
