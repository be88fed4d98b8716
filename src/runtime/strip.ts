/** TypeScript as a browser takes it. */
import { stripTypeScriptTypes } from "node:module";

/** The same text with spaces where types were, as Node runs our own files. Throws where the text is no erasable TypeScript. */
export function withoutTypes(source: string): string {
  // Node warns, once, that this function may change; that it does the same to every file of ours it does not mention.
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
