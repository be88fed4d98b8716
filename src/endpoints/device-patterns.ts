/** Which devices are workloads': names with `*` for any run of characters, `veth*,cali*`. */

const DEVICE_NAME_MAX = 15;

/** What is wrong with a list of patterns, if anything. */
export function devicePatternsFault(list: string): string | undefined {
  const bad = list.split(",").find((pattern) => !/^[A-Za-z0-9._@*-]+$/.test(pattern) || tooLong(pattern));
  if (bad === undefined) return undefined;
  return `must be device names with '*' for any characters, separated by commas, such as veth*,cali*; ${JSON.stringify(bad)} is none`;
}

function tooLong(pattern: string): boolean {
  return pattern.replaceAll("*", "").length > DEVICE_NAME_MAX;
}

export function devicePatterns(list: string): (name: string) => boolean {
  const alternatives = list.split(",").map((pattern) => pattern.split("*").map(literal).join(".*"));
  const matching = new RegExp(`^(${alternatives.join("|")})$`);
  return (name) => matching.test(name);
}

function literal(text: string): string {
  return text.replace(/[.\\^$+?()[\]{}|]/g, "\\$&");
}
