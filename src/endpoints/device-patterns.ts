/** Which devices are workloads': names with `*` for any run of characters, `veth*,cali*`, and ranges of addresses. */
import { cidrContains, parseAddress, parseCidr } from "../model/address.ts";

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

/** Whether one of a device's addresses lies in one of the CIDRs; absent: always. */
export function addressRanges(cidrs: readonly string[] | undefined): (addresses: readonly string[]) => boolean {
  if (cidrs === undefined) return () => true;
  const ranges = cidrs.map((text) => parseCidr(text)).filter((cidr) => cidr !== undefined);
  return (addresses) => {
    const parsed = addresses.map((text) => parseAddress(text)).filter((address) => address !== undefined);
    return parsed.some((address) => ranges.some((range) => cidrContains(range, address)));
  };
}
