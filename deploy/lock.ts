// Completes package-lock.json after a change: `node deploy/lock.ts`.
// A registry that lacks an optional package of another platform leaves a lock that `npm ci` refuses.
// For each such name this adds a stub that no platform we run on ever installs.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

type LockEntry = {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};

export type Lock = { readonly packages: Readonly<Record<string, LockEntry>> };

/** Optional dependencies that the lock names but holds no entry for, as ready stubs by lock path. */
export function missingStubs(lock: Lock): Readonly<Record<string, LockEntry>> {
  const stubs: Record<string, LockEntry> = {};
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (resolves(lock, path, name)) continue;
      const dev = entry.dev === true ? { dev: true } : {};
      stubs[`node_modules/${name}`] = { version, ...dev, optional: true, os: ["!linux"] };
    }
  }
  return stubs;
}

/** The lock with its stubs, paths in the order npm writes them. */
export function completed(lock: Lock): Lock {
  const packages = { ...lock.packages, ...missingStubs(lock) };
  const paths = Object.keys(packages).sort((a, b) => a.localeCompare(b, "en"));
  return { ...lock, packages: Object.fromEntries(paths.map((path) => [path, packages[path] ?? {}])) };
}

/** Node's resolution on lock paths: the package's own node_modules, then each parent's. */
function resolves(lock: Lock, from: string, name: string): boolean {
  const base = from === "" ? "node_modules" : `${from}/node_modules`;
  if (`${base}/${name}` in lock.packages) return true;
  if (from === "") return false;
  const parent = from.slice(0, Math.max(0, from.lastIndexOf("node_modules/") - 1));
  return resolves(lock, parent, name);
}

if (import.meta.main) {
  const path = fileURLToPath(new URL("../package-lock.json", import.meta.url));
  const lock = JSON.parse(readFileSync(path, "utf8")) as Lock;
  const count = Object.keys(missingStubs(lock)).length;
  if (count > 0) writeFileSync(path, `${JSON.stringify(completed(lock), null, 2)}\n`);
  process.stdout.write(`package-lock.json: ${count} stubs added\n`);
}
