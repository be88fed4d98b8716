/** Where cgroups are. */
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";

/** Where cgroup2 is mounted, by the text of /proc/self/mounts; undefined when it is not. */
export function cgroup2Mount(mounts: string): string | undefined {
  for (const line of mounts.split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2" && path !== undefined) return unescapeMount(path);
  }
  return undefined;
}

/** /proc/self/mounts writes space, tab, newline and backslash as \ooo. */
export function unescapeMount(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** `directory` as it is when absolute, else below the cgroup2 mount; as it is, too, where nothing of the kind is mounted. */
export function cgroupDirectory(directory: string, mounts = readFileSync("/proc/self/mounts", "utf8")): string {
  return isAbsolute(directory) ? directory : join(cgroup2Mount(mounts) ?? "", directory);
}
