// Rules that need no syntax tree: names of files, and what the text of any file may not hold.

const MEANINGLESS = /(^|\/)(utils?|common|helpers?|misc)(\/|\.|$)/;
const SPDX = "SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only";

/** Paths of the machines we build on, and hosts of package registries. Split, so that this file does not match itself. */
const FOREIGN: readonly (readonly [pattern: RegExp, what: string])[] = [
  [
    new RegExp(`(^|[^\\w.])/(${["wo" + "rk", "fa" + "rm", "ho" + "me", "ro" + "ot"].join("|")})/`, "m"),
    "a machine's path",
  ],
  [new RegExp(`\\.\\./sha${"red"}\\b`), "a path outside the project"],
  [new RegExp(`\\bregis${"try"}\\.(npmjs|yarnpkg)|npm${"js"}\\.org`), "a registry's host"],
];

export function pathFaults(path: string): readonly string[] {
  const faults: string[] = [];
  if (MEANINGLESS.test(path)) faults.push(`${path} is named after nothing in the field`);
  if (/(^|\/)index\.[cm]?[jt]s$/.test(path)) faults.push(`${path} is a barrel`);
  if (/\.[cm]?jsx?$|\.[cm]ts$|\.tsx$/.test(path)) faults.push(`${path} is not a .ts file`);
  return faults;
}

export function textFaults(path: string, text: string): readonly string[] {
  const faults = FOREIGN.filter(([pattern]) => pattern.test(text)).map(([, what]) => `${path} names ${what}`);
  const unmarked = /^bpf\/.*\.[ch]$/.test(path) && !text.split("\n", 1)[0]?.includes(SPDX);
  return unmarked ? [...faults, `${path}:1 lacks ${SPDX}`] : faults;
}

/** The shell that a script's first line names, or undefined when the file is no shell script. */
export function shellOf(text: string): "sh" | "bash" | undefined {
  const match = /^#!\s*\/(?:usr\/)?bin\/(?:env )?(sh|bash|dash|ksh|zsh)\b/.exec(text);
  return match === null ? undefined : match[1] === "sh" ? "sh" : "bash";
}
