/** The status page: takes what kvstoremesh sends, and shows it. It changes nothing anywhere. */
import type { PageState } from "../../report/page.ts";
import type { PageServices } from "../../report/page-services.ts";
import { Charts } from "./charts.ts";
import { badge, draw, part, type Tone } from "./elements.ts";
import { drawMap } from "./map.ts";
import { legend, pairsTable, summary } from "./pairs.ts";
import { drills, events, holds, problems, programs, setAside } from "./rows.ts";
import { drawServices } from "./services.ts";

const FEED = "/v1/page";
const THEMES = ["auto", "light", "dark"] as const;
/** Without a word for longer than this what is shown is called old. */
const SILENT_AFTER_MS = 15_000;
const TRY_AGAIN_MS = 3_000;

const charts = new Charts();
const figure = part("map-figure");
let state: PageState | undefined;
let services: PageServices | undefined;

function show(tone: Tone, line: string): void {
  draw(part("live"), [tone, line], () => [badge(tone, line)]);
}

function showMap(): void {
  if (state !== undefined && figure.clientWidth > 0) figure.replaceChildren(drawMap(state, figure.clientWidth));
}

function showState(given: PageState): void {
  state = given;
  part("seen-by").textContent = `as ${given.cluster} sees it`;
  draw(
    part("summary"),
    summary(given).map((item) => (item as Element | undefined)?.textContent),
    () => summary(given),
  );
  showMap();
  draw(part("pairs"), given.pairs, () => [pairsTable(given)]);
  draw(part("holds"), given.holds, () => holds(given));
  draw(part("set-aside"), given.setAside, () => setAside(given));
  const { source, error, recent } = given.events;
  draw(part("drills-list"), [source, error, given.events.drills], () => drills(given));
  draw(part("events-list"), [source, error, recent], () => events(given));
  draw(
    part("programs-list"),
    given.clusters.map(({ name, programs: own }) => [name, own]),
    () => programs(given),
  );
  draw(part("problems"), given.problems, () => problems(given));
  charts.add(given);
}

/** The connection, for as long as the page is looked at: a page behind others asks nobody anything. */
class Live {
  #source: EventSource | undefined;
  /** On the clock of animation frames. */
  #heardMs = 0;
  #againMs = Number.POSITIVE_INFINITY;

  open(): void {
    this.#source?.close();
    this.#againMs = Number.POSITIVE_INFINITY;
    const source = new EventSource(FEED);
    this.#source = source;
    const on = <T>(name: string, take: (data: T) => void): void => {
      source.addEventListener(name, (event) => {
        this.#heardMs = event.timeStamp;
        take(JSON.parse((event as MessageEvent<string>).data) as T);
      });
    };
    on<PageServices>("services", (given) => {
      services = given;
      drawServices(given);
    });
    on<PageState>("state", (given) => {
      show("good", "live");
      showState(given);
    });
    on<string>("trouble", (line) => show("bad", `nothing new: ${line}`));
    source.addEventListener("error", (event) => {
      if (source.readyState === EventSource.CLOSED) void this.#askWhy(event.timeStamp);
      else show("bad", "kvstoremesh does not answer; trying again");
    });
  }

  close(): void {
    this.#source?.close();
    this.#source = undefined;
    this.#againMs = Number.POSITIVE_INFINITY;
  }

  /** An event source does not say why it was refused. */
  async #askWhy(nowMs: number): Promise<void> {
    const asking = new AbortController();
    try {
      const answer = await fetch(FEED, { signal: asking.signal });
      const why = answer.ok ? "" : ((await answer.json()) as { readonly message?: string }).message;
      show("bad", why ? `refused: ${why}` : "the connection ended; trying again");
    } catch {
      show("bad", "kvstoremesh does not answer; trying again");
    } finally {
      asking.abort();
      this.#againMs = nowMs + TRY_AGAIN_MS;
    }
  }

  /** Every frame that the browser draws. */
  tick(nowMs: number): void {
    if (nowMs > this.#againMs) this.open();
    const silentMs = nowMs - this.#heardMs;
    if (this.#source?.readyState === EventSource.OPEN && silentMs > SILENT_AFTER_MS) {
      show("warning", `no news for ${Math.round(silentMs / 1000)} s`);
    }
  }
}

function stored(): string | null {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

/** `auto` is the system's. */
function setTheme(theme: string): void {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset["theme"];
  else root.dataset["theme"] = theme;
  part("theme").textContent = `Theme: ${theme}`;
  charts.draw();
}

function nextTheme(): void {
  const now = THEMES.indexOf((document.documentElement.dataset["theme"] ?? "auto") as (typeof THEMES)[number]);
  const theme = THEMES[(now + 1) % THEMES.length] ?? "auto";
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // It is not remembered then.
  }
  setTheme(theme);
}

draw(part("legend"), "", legend);
setTheme(THEMES.find((theme) => theme === stored()) ?? "auto");
part("theme").addEventListener("click", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.draw());
part("filter").addEventListener("input", () => {
  if (services !== undefined) drawServices(services);
});
new ResizeObserver(showMap).observe(figure);

const live = new Live();
document.addEventListener("visibilitychange", () => (document.hidden ? live.close() : live.open()));
live.open();
requestAnimationFrame(function frame(nowMs) {
  live.tick(nowMs);
  requestAnimationFrame(frame);
});
