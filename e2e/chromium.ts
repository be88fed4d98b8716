/** A headless Chromium, driven over its pipe (Chrome DevTools Protocol). It runs where nothing leads out, and loads what it is told to. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { sleep, systemClock } from "../src/runtime/clock.ts";

const CHROMIUM = "chromium";
const ANSWER_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

/** Why no page can be looked at here; undefined: one can. */
export function whyNoChromium(): string | undefined {
  return spawnSync(CHROMIUM, ["--version"]).status === 0 ? undefined : "not run: no Chromium";
}

const FLAGS: readonly string[] = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
  "--hide-scrollbars",
  "--lang=en-US",
  // Names lead nowhere, whatever a page or the browser itself would like to load.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--remote-debugging-pipe",
];

type Json = Readonly<Record<string, unknown>>;

interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Json;
  readonly result?: Json;
  readonly error?: { readonly message: string };
}

export class Chromium {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #pages = new Map<string, Page>();
  #sent = 0;
  #rest = "";

  private constructor(child: ChildProcess, profile: string) {
    this.#child = child;
    this.#profile = profile;
    (child.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => this.#take(text));
    (child.stdio[3] as Writable).on("error", () => undefined);
  }

  /** @param netns network namespace to run in. */
  static start(netns?: string): Chromium {
    const profile = mkdtempSync(join(tmpdir(), "bulkhead-chromium-"));
    const inside = netns === undefined ? [] : ["nsenter", `--net=/var/run/netns/${netns}`];
    const [file = "", ...args] = [...inside, CHROMIUM, ...FLAGS, `--user-data-dir=${profile}`, "about:blank"];
    const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"] as const;
    const child = spawn(file, args, { stdio: [...stdio], env: { ...process.env, HOME: profile, TZ: "UTC" } });
    child.on("error", () => undefined);
    return new Chromium(child, profile);
  }

  async open(url: string, look: Look): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, String(sessionId)), String(targetId));
    this.#pages.set(String(sessionId), page);
    for (const domain of ["Page", "Runtime", "Log"]) await page.send(`${domain}.enable`);
    await page.look(look);
    await page.send("Page.navigate", { url });
    return page;
  }

  async end(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    await this.send("Browser.close").catch(() => this.#child.kill("SIGKILL"));
    await Promise.race([closed, sleep(systemClock, 5_000)]);
    this.#child.kill("SIGKILL");
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = ++this.#sent;
    const message = JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) });
    return new Promise((resolve, reject) => {
      const timer = systemClock.after(ANSWER_TIMEOUT_MS, () => reject(new Error(`Chromium did not answer ${method}`)));
      this.#waiting.set(id, ({ result = {}, error }) => {
        timer.cancel();
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${error.message}`));
      });
      (this.#child.stdio[3] as Writable).write(`${message}\0`);
    });
  }

  #take(text: string): void {
    const parts = `${this.#rest}${text}`.split("\0");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      if (message.id === undefined) {
        this.#pages.get(message.sessionId ?? "")?.heard(message.method ?? "", message.params ?? {});
        continue;
      }
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    }
  }
}

export interface Look {
  readonly width: number;
  readonly height?: number;
  readonly theme: "light" | "dark";
}

export class Page {
  readonly send: (method: string, params?: Json) => Promise<Json>;
  readonly targetId: string;
  /** What went wrong in it, a line each: exceptions, and what the browser refused. */
  readonly faults: string[] = [];

  constructor(send: Page["send"], targetId: string) {
    this.send = send;
    this.targetId = targetId;
  }

  heard(method: string, params: Json): void {
    if (method === "Runtime.exceptionThrown") this.faults.push(JSON.stringify(params["exceptionDetails"]));
    const entry = params["entry"] as
      | { readonly level?: string; readonly text?: string; readonly url?: string }
      | undefined;
    if (method === "Log.entryAdded" && entry?.level === "error") this.faults.push(`${entry.text} ${entry.url ?? ""}`);
  }

  async look({ width, height = 900, theme }: Look): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.send("Emulation.setDeviceMetricsOverride", metrics);
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: theme }] });
  }

  /** The value of an expression in the page. Rejects with what it throws. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { readonly value: T }).value;
  }

  /** Waits until the expression is true of the page. */
  async until(what: string, expression: string, withinMs = 30_000): Promise<void> {
    const deadlineMs = systemClock.nowMs() + withinMs;
    while (!(await this.evaluate<boolean>(`Boolean(${expression})`))) {
      if (systemClock.nowMs() > deadlineMs) {
        const text = await this.evaluate<string>("document.body.innerText");
        throw new Error(
          `${what}: not within ${withinMs} ms; the page says\n${text.slice(0, 4_000)}\n${this.faults.join("\n")}`,
        );
      }
      await sleep(systemClock, POLL_MS);
    }
  }

  /** A key press, as a keyboard makes it. */
  async press(key: string, code: number): Promise<void> {
    const event = { key, code: key, windowsVirtualKeyCode: code, ...(key === "Enter" && { text: "\r" }) };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** The whole page, however long. */
  async screenshot(path: string): Promise<void> {
    await this.evaluate("scrollTo(0, 0)");
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, Buffer.from(String(data), "base64"));
  }
}
