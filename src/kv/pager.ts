/** Pages of a range: as large as asked for, smaller where that does not work. */
import { type KvClient, KvError, type RangeRequest, type RangeResponse } from "./client.ts";

/** Keys of a page below which a link is no slow one but a dead one; and how much smaller a page gets that was too slow, or too large. */
const SMALLEST_PAGE = 16;
const SMALLER = 4;

/**
 * Asks for pages of at most `limit` keys. One that does not arrive within the client's deadline, or has more bytes than the client takes, is asked for again,
 * smaller: over a slow link a listing goes on from page to page instead of beginning again.
 */
export class Pager {
  readonly #kv: KvClient;
  readonly #signal: AbortSignal | undefined;
  #limit: number;

  constructor(kv: KvClient, limit: number, signal?: AbortSignal) {
    this.#kv = kv;
    this.#signal = signal;
    this.#limit = limit;
  }

  /** Rejects with a KvError, or with the signal's reason. */
  async page(request: RangeRequest): Promise<RangeResponse> {
    for (;;) {
      this.#signal?.throwIfAborted();
      try {
        return await this.#kv.range({ ...request, limit: this.#limit });
      } catch (error) {
        if (!(error instanceof KvError) || this.#limit <= SMALLEST_PAGE) throw error;
        if (error.code !== "deadline" && error.code !== "too-large") throw error;
        this.#limit = Math.max(SMALLEST_PAGE, Math.floor(this.#limit / SMALLER));
      }
    }
  }
}
