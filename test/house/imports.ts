import { posix } from "node:path";
import type { Node, SourceFile } from "typescript/unstable/ast";
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isStringLiteral,
  SyntaxKind,
} from "typescript/unstable/ast";
import { descendants, lineOf } from "./parse.ts";
import { CLOCK_ROOM, PURE_BUILTINS, REFUSED_BUILTINS, ROOMLESS, type Room, roomOf } from "./rooms.ts";

/** Every import of a file that the room table does not allow, as `path:line reason`. */
export function importFaults(path: string, tree: SourceFile): readonly string[] {
  if (ROOMLESS.includes(path)) return [];
  const room = roomOf(path);
  if (room === undefined) return [`${path}:1 is in no room of test/house/rooms.ts`];
  const faults: string[] = [];
  for (const node of descendants(tree)) {
    const imported = specifierOf(node);
    if (imported === undefined) continue;
    const fault = isStringLiteral(imported) ? faultOf(room, path, imported.text) : "imports what is not a plain string";
    if (fault !== undefined) faults.push(`${path}:${lineOf(tree, node)} ${fault}`);
  }
  return faults;
}

/** The node that names the module, when `node` is an import of any form: static, type, re-export, call or type query. */
function specifierOf(node: Node): Node | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) return node.moduleSpecifier;
  if (isImportTypeNode(node)) return isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument;
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) return node.arguments[0];
  return undefined;
}

function faultOf(room: Room, path: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return relativeFault(room, posix.join(posix.dirname(path), specifier));
  if (specifier.startsWith("node:")) return builtinFault(room, specifier);
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  return room.packages.includes(name) ? undefined : `package ${name} has no place in room ${room.name}`;
}

function relativeFault(room: Room, target: string): string | undefined {
  if (!target.startsWith("src/")) return `imports ${target}, which is outside src/`;
  if (!target.endsWith(".ts")) return `imports ${target}, which does not end in .ts`;
  const other = roomOf(target);
  if (other === undefined) return `imports ${target}, which is in no room`;
  if (other.name === room.name) return undefined;
  if (other.floor >= room.floor) return `imports ${target}: room ${other.name} is not below room ${room.name}`;
  return room.pure && !other.pure ? `imports ${target}: room ${room.name} is pure and ${other.name} is not` : undefined;
}

function builtinFault(room: Room, specifier: string): string | undefined {
  if (room.pure && !PURE_BUILTINS.includes(specifier)) return `imports ${specifier} in pure room ${room.name}`;
  const refused = REFUSED_BUILTINS.includes(specifier) && room.name !== CLOCK_ROOM;
  return refused ? `imports ${specifier}, which goes around the room table or the clock` : undefined;
}
