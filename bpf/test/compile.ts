// Compiles BPF sources that only a test has.
import { arch } from "node:os";
import { run } from "./stage.ts";

const MACHINE: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** @param headers the folder that `lib/…` is in. */
export function compileBpf(source: string, objectPath: string, headers: string, ...more: readonly string[]): void {
  const include = `-I/usr/include/${MACHINE[arch()]}-linux-gnu`;
  const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", include, `-I${headers}`];
  run("clang", ...flags, ...more, "-c", source, "-o", objectPath);
}
