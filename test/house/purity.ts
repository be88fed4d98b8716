import type { Node, SourceFile } from "typescript/unstable/ast";
import {
  isCallExpression,
  isIdentifier,
  isNewExpression,
  isPropertyAccessExpression,
  isVariableStatement,
  NodeFlags,
  SyntaxKind,
} from "typescript/unstable/ast";
import { descendants, lineOf } from "./parse.ts";
import { CLOCK_ROOM, ROOMLESS, roomOf } from "./rooms.ts";

/** Time and chance: only in `runtime`. A member is refused on any object called so, a bare name wherever it is used. */
const IMPURE_NAMES: readonly string[] = ["setTimeout", "setInterval", "setImmediate", "performance"];
const IMPURE_MEMBERS: readonly string[] = ["Date.now", "Math.random", "process.hrtime", "AbortSignal.timeout"];
const RANDOM_NAMES: readonly string[] = ["randomBytes", "randomUUID", "randomInt", "randomFillSync", "getRandomValues"];

/** What a pure room may not name: all of it depends on the clock, the collector, the host or a later turn. */
const REFUSED_IN_PURE: readonly string[] = ["Promise", "Date", "WeakRef", "FinalizationRegistry", "Intl", "globalThis"];
const HOST_DEPENDENT_MEMBERS: readonly string[] = ["localeCompare", "toLocaleString", "toLocaleLowerCase"];

/** Uses of time, chance or asynchrony where the file's room forbids them, as `path:line reason`. */
export function purityFaults(path: string, tree: SourceFile): readonly string[] {
  const room = roomOf(path);
  if (room === undefined || room.name === CLOCK_ROOM || ROOMLESS.includes(path)) return [];
  const faults: string[] = [];
  const report = (node: Node, what: string): void => {
    faults.push(`${path}:${lineOf(tree, node)} uses ${what} in room ${room.name}`);
  };
  for (const node of descendants(tree)) {
    const impure = impureUse(node) ?? (room.pure ? asynchronousUse(node) : undefined);
    if (impure !== undefined) report(node, impure);
  }
  if (room.pure) for (const node of moduleState(tree)) report(node, "module state that changes");
  return faults;
}

function impureUse(node: Node): string | undefined {
  if (isPropertyAccessExpression(node) && isIdentifier(node.expression)) {
    const member = `${node.expression.text}.${node.name.text}`;
    if (IMPURE_MEMBERS.includes(member)) return member;
    if (node.expression.text === "globalThis" && IMPURE_NAMES.includes(node.name.text)) return member;
  }
  if (isNewExpression(node) && isNamed(node.expression, "Date") && !node.arguments?.length) return "new Date()";
  if (isCallExpression(node) && isNamed(node.expression, "Date")) return "Date()";
  if (!isIdentifier(node)) return undefined;
  if (RANDOM_NAMES.includes(node.text)) return node.text;
  return IMPURE_NAMES.includes(node.text) && !isMemberName(node) ? node.text : undefined;
}

function asynchronousUse(node: Node): string | undefined {
  if (node.kind === SyntaxKind.AsyncKeyword) return "async";
  if (node.kind === SyntaxKind.AwaitExpression || node.kind === SyntaxKind.AwaitKeyword) return "await";
  if (!isIdentifier(node)) return undefined;
  if (isMemberName(node)) return HOST_DEPENDENT_MEMBERS.includes(node.text) ? node.text : undefined;
  return REFUSED_IN_PURE.includes(node.text) ? node.text : undefined;
}

/** True for `x` of `a.x`, `{ x: 1 }` and `x(): void` of a type: a name, not a use of the global. */
function isMemberName(node: Node): boolean {
  const parent = node.parent as Node & { readonly name?: Node };
  const naming = [
    SyntaxKind.PropertyAccessExpression,
    SyntaxKind.PropertyAssignment,
    SyntaxKind.PropertySignature,
    SyntaxKind.PropertyDeclaration,
    SyntaxKind.MethodSignature,
    SyntaxKind.MethodDeclaration,
  ];
  return naming.includes(parent.kind) && parent.name === node;
}

function isNamed(node: Node, name: string): boolean {
  return isIdentifier(node) && node.text === name;
}

function moduleState(tree: SourceFile): readonly Node[] {
  return tree.statements.filter(
    (statement) => isVariableStatement(statement) && (statement.declarationList.flags & NodeFlags.Const) === 0,
  );
}
