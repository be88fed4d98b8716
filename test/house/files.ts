// The files of the project as git would commit them, and their text.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Paths relative to the root: tracked, or new and not ignored. */
export function projectFiles(): readonly string[] {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const paths = execFileSync("git", list, { cwd: ROOT, encoding: "utf8" }).split("\0");
  return [...new Set(paths)].filter((path) => path !== "" && existsSync(resolve(ROOT, path))).sort();
}

export function textOf(path: string): string {
  return readFileSync(resolve(ROOT, path), "utf8");
}

/** The texts of all project files that `wanted` accepts, by path. */
export function textsOf(wanted: (path: string) => boolean): Readonly<Record<string, string>> {
  return Object.fromEntries(
    projectFiles()
      .filter(wanted)
      .map((path) => [path, textOf(path)]),
  );
}
