// Runs tiers of tests by name: `node test/run.ts unit sim`. Prints the time of each, what failed, and one last line.
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { resolve } from "node:path";
import { ROOT } from "./run-file.ts";
import { print, runFiles } from "./run-files.ts";
import { addTallies, NOTHING_RAN, type Tally, tallyLine, tallyOfOutput } from "./tally.ts";
import { type CommandTier, type FileTier, TIERS, type Tier } from "./tiers.ts";

/** The files that a tier names, in queues; none when its subject does not exist yet: such a tier is absent, not passed. */
function queuesOf({ files, except, beside }: FileTier): readonly (readonly string[])[] {
  const found = (glob: string, not: string | undefined): readonly string[] => {
    const names = globSync(glob, { cwd: ROOT, ...(not === undefined ? {} : { exclude: [not] }) });
    return names.sort().map((name) => resolve(ROOT, name));
  };
  const queues = [found(files, except), ...(beside === undefined ? [] : [found(beside, undefined)])];
  return queues.filter((queue) => queue.length > 0);
}

/** Runs the program, passes its output on, and counts it as one test unless its last line counts for it. */
async function runCommand(tier: CommandTier): Promise<Tally> {
  const child = spawn(process.execPath, [tier.script, ...tier.args], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4096);
    process.stdout.write(chunk);
  });
  const code = await new Promise<number>((done) => child.on("close", (status) => done(status ?? 1)));
  return tallyOfOutput(output, code);
}

async function runTier(tier: Tier): Promise<Tally> {
  const queues = "script" in tier ? [[tier.script]] : queuesOf(tier);
  if (queues.length === 0) return NOTHING_RAN;
  print(`== ${tier.name}`);
  const started = performance.now();
  const tally = "script" in tier ? await runCommand(tier) : await runFiles(tier, queues);
  print(`== ${tier.name}: ${tallyLine(tally)} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return tally;
}

async function main(names: readonly string[]): Promise<number> {
  const known = TIERS.map((tier) => tier.name);
  const unknown = names.filter((name) => !known.includes(name));
  if (names.length === 0 || unknown.length > 0) {
    process.stderr.write(`test/run.ts: name tiers out of: ${known.join(" ")}; unknown: ${unknown.join(" ") || "-"}\n`);
    return 2;
  }
  let total = NOTHING_RAN;
  for (const tier of TIERS) if (names.includes(tier.name)) total = addTallies(total, await runTier(tier));
  print(tallyLine(total));
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

// Every test file, and every program that one starts, is compiled once: half of what a start costs.
process.env["NODE_COMPILE_CACHE"] ??= resolve(ROOT, "build/compile-cache");
// Whatever a test file left behind, and whose output is still open, must not keep the runner.
process.exit(await main(process.argv.slice(2)));
