import { isFunctionLikeDeclaration, type SourceFile } from "typescript/unstable/ast";
import { descendants } from "./parse.ts";

export const LONGEST_FILE_LINES = 600;
export const LONGEST_FUNCTION_LINES = 70;

export function fileSizeFaults(path: string, text: string): readonly string[] {
  const lines = text.trimEnd().split("\n").length;
  return lines > LONGEST_FILE_LINES ? [`${path}:1 has ${lines} lines, more than ${LONGEST_FILE_LINES}`] : [];
}

export function functionSizeFaults(path: string, tree: SourceFile): readonly string[] {
  const faults: string[] = [];
  for (const node of descendants(tree)) {
    if (!isFunctionLikeDeclaration(node)) continue;
    const first = tree.text.slice(0, node.getStart(tree)).split("\n").length;
    faults.push(...tooLong(path, first, tree.text.slice(0, node.end).split("\n").length));
  }
  return faults;
}

/** The same for C in the usual layout: a body opens on a line that starts at the margin and closes with `}` there. */
export function cFunctionSizeFaults(path: string, text: string): readonly string[] {
  const faults: string[] = [];
  let first = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^[A-Za-z_{].*[{]\s*$|^\{\s*$/.test(line) && first === 0) first = index + 1;
    if (!/^\}/.test(line)) continue;
    if (first > 0) faults.push(...tooLong(path, first, index + 1));
    first = 0;
  }
  return faults;
}

function tooLong(path: string, first: number, last: number): readonly string[] {
  const lines = last - first + 1;
  return lines > LONGEST_FUNCTION_LINES
    ? [`${path}:${first} function of ${lines} lines, more than ${LONGEST_FUNCTION_LINES}`]
    : [];
}
