/** Bad input of a person: one line that says what, where and how to mend it. Programs print it alone and exit with 2. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly retryable = false;
}

/** Exit code for bad input: nothing was changed. */
export const EXIT_BAD_INPUT = 2;

/** The one line of any thrown thing. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0] ?? "";
}
