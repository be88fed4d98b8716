/** Long connections of a pod: `held.ts` in its network and its cgroup. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { argvOf } from "../deploy/lab/processes.ts";
import type { PodRecord } from "../deploy/lab/state.ts";
import type { Target } from "../deploy/lab/workload/jobs.ts";

const HELD = join(import.meta.dirname, "held.ts");

export interface HeldAnswers {
  /** Connections by who answered, `cluster/pod`; else by what became of them: `cut`, ... */
  readonly answers: Readonly<Record<string, number>>;
  /** That came back to all of them, each in its place. */
  readonly bytes: number;
}

export interface Hold {
  /** Asks on each of them, once. */
  answers(): Promise<HeldAnswers>;
  end(): void;
}

/** Resolves when all of them stand. @param everyMs how often each exchanges bytes; absent: they ask nothing until they are asked. */
export async function hold(pod: PodRecord, { address, port }: Target, count: number, everyMs?: number): Promise<Hold> {
  const words = [address, port, count, ...(everyMs === undefined ? [] : [everyMs])].map(String);
  const [file = "", ...args] = argvOf({ ...pod, argv: [process.execPath, HELD, ...words] });
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the connections of ${pod.name} ended by themselves`);
    return value;
  };
  await next();
  const answers = async (): Promise<HeldAnswers> => {
    child.stdin.end();
    return JSON.parse(await next()) as HeldAnswers;
  };
  return { answers, end: () => child.kill("SIGKILL") };
}
