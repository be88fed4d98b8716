// The tiers of tests, from cheap to real. A new tier is one entry here and one word in package.json.

/**
 * Test files run by node:test, `concurrency` at a time. Those of `beside`, which wait more than they work, run at the same time as the others.
 * `live` shows what they print, `timeoutMs` is that of a test.
 */
export type FileTier = {
  readonly name: string;
  readonly files: string;
  readonly except?: string;
  readonly beside?: string;
  /** Random tests take their larger numbers: `test/support/rounds.ts`. */
  readonly thorough?: true;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly live: boolean;
};

/** A program that is a test by its exit code, or by a last line `N passed, N failed`. */
export type CommandTier = { readonly name: string; readonly script: string; readonly args: readonly string[] };

export type Tier = FileTier | CommandTier;

const MINUTE_MS = 60_000;
/** End to end without a lab: real programs and etcds on free ports, a browser. */
const ON_LOOPBACK = "e2e/{mirror/*,bad-input,events,join,kubernetes*,page}.test.ts";
/** What is random and has a longer form. */
const RANDOM =
  "{datapath/datapath,datapath/policies,events/reporter,export/churn,fuzz/decoders,kv/equivalence,mirror/claims-hostile,policy/incremental,policy/random/random,wire/parse-manifests}";

export const TIERS: readonly Tier[] = [
  { name: "house", files: "test/house/**/*.test.ts", concurrency: 2, timeoutMs: 2 * MINUTE_MS, live: false },
  {
    name: "unit",
    files: "test/**/*.test.ts",
    except: "test/sim/**",
    concurrency: 2,
    timeoutMs: 2 * MINUTE_MS,
    live: false,
  },
  { name: "sim", files: "test/sim/**/*.test.ts", concurrency: 2, timeoutMs: 5 * MINUTE_MS, live: false },
  { name: "kernel", files: "bpf/test/**/*.test.ts", concurrency: 1, timeoutMs: 5 * MINUTE_MS, live: false },
  {
    name: "e2e",
    files: "e2e/**/*.test.ts",
    except: `{e2e/{long,drills}/**,e2e/compose.test.ts,${ON_LOOPBACK}}`,
    beside: ON_LOOPBACK,
    concurrency: 1,
    timeoutMs: 10 * MINUTE_MS,
    live: true,
  },
  { name: "compose", files: "e2e/compose.test.ts", concurrency: 1, timeoutMs: 20 * MINUTE_MS, live: true },
  { name: "seeds", script: "test/sim/main.ts", args: ["--seeds", "1000"] },
  {
    name: "thorough",
    files: `test/${RANDOM}.test.ts`,
    thorough: true,
    concurrency: 2,
    timeoutMs: 5 * MINUTE_MS,
    live: false,
  },
  { name: "policy", script: "test/policy/random/main.ts", args: ["--seed", "1"] },
  { name: "long", files: "e2e/long/**/*.test.ts", concurrency: 1, timeoutMs: 10 * MINUTE_MS, live: true },
  { name: "drills", files: "e2e/drills/**/*.test.ts", concurrency: 1, timeoutMs: 12 * MINUTE_MS, live: true },
  { name: "etcd-3.5", script: "test/second-etcd.ts", args: [] },
  { name: "tour", script: "deploy/lab/main.ts", args: ["--name", "full", "--secure", "--repeat", "2"] },
];
