// One test file in a process of its own, with a limit to how long it may stay once nothing more is to come from it.
import { readdirSync, readFileSync } from "node:fs";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock, type Timer } from "../src/runtime/clock.ts";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

type Stream = ReturnType<typeof run>;
/** What node:test tells of a file while it runs. */
export type TestEvent = Stream extends AsyncIterable<infer Event> ? Event : never;

export type FileOptions = {
  /** On top of our own. */
  readonly env: Readonly<Record<string, string>>;
  /** How long one test or hook may take: it fails, and the file goes on. */
  readonly testMs: number;
  /** How long the file may take to end after its last test: its hooks run in this time. */
  readonly endMs: number;
};

/** Tells every event. The result is why the file was ended by force, undefined when it ended by itself. */
export async function runFile(
  file: string,
  options: FileOptions,
  told: (event: TestEvent) => void,
): Promise<string | undefined> {
  const abort = new AbortController();
  let open = 0;
  let begun = false;
  let stuck: string | undefined;
  const end = (): void => {
    const [what, limitMs] = stillness();
    const family = processesOf(file).flatMap(withDescendants);
    for (const pid of family) kill(pid);
    stuck = `${what}, but it did not end within ${limitMs / 1000} s: ${family.length} processes of it ended by force`;
    // A process that has left the family may hold the file's output still.
    abort.abort();
  };
  const stillness = (): readonly [what: string, limitMs: number] =>
    begun && open === 0
      ? ["its tests are done", options.endMs]
      : ["it had tests to run", options.testMs + options.endMs];
  let timer: Timer = systemClock.after(stillness()[1], end);
  // Each test has its limit by argument; `timeout` of `run` would end the file at the same time, without its hooks.
  const execArgv = [`--test-timeout=${options.testMs}`];
  const env = { ...process.env, ...options.env };
  const stream = run({ cwd: ROOT, files: [file], execArgv, env, signal: abort.signal });
  for await (const event of stream) {
    if (stuck !== undefined) break;
    if ("entryFile" in event.data) {
      if (event.type === "test:enqueue") open++;
      if (event.type === "test:complete") open--;
      begun ||= event.type === "test:enqueue";
      timer.cancel();
      timer = systemClock.after(stillness()[1], end);
    }
    told(event);
  }
  timer.cancel();
  return stuck;
}

/** Our own children that run this file. */
function processesOf(file: string): readonly number[] {
  return childrenOf(process.pid).filter((pid) => read(`/proc/${pid}/cmdline`).split("\0").includes(file));
}

function withDescendants(pid: number): readonly number[] {
  return [pid, ...childrenOf(pid).flatMap(withDescendants)];
}

function childrenOf(parent: number): readonly number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => /^PPid:\t(\d+)$/m.exec(read(`/proc/${entry}/status`))?.[1] === String(parent))
    .map(Number);
}

/** Empty when the process has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}
