/** Text for terminals: aligned tables, and remote text made harmless. */

/** Control characters (escape sequences among them) of a stranger's text, made visible. */
export function safeText(text: string): string {
  let safe = "";
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const hidden =
      code < 0x20 ||
      (code >= 0x7f && code < 0xa0) ||
      (code >= 0x200b && code <= 0x200f) ||
      (code >= 0x202a && code <= 0x202e);
    safe += hidden ? `\\u${code.toString(16).padStart(4, "0")}` : character;
  }
  return safe;
}

/** Rows under a header, columns two spaces apart, no trailing spaces. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((row) => row.map(safeText));
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `850 ms`, `12.3 s`, `4 min`, `3 h`, `2 d`. */
export function duration(durationMs: number): string {
  const seconds = durationMs / 1000;
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
