/** Address ranges of policies. Any range may be named, also one that no cluster may claim: this says who is let through, not whose it is. */
import { type Cidr, cidrContains, formatCidr, isV4, parseAddress, parseCidr, prefixBits } from "../model/address.ts";
import type { Peer } from "../model/policy.ts";
import type { Fields } from "./fields.ts";
import { type FieldSet, strict } from "./policy-fields.ts";
import { type Path, quote, Refusal } from "./refusal.ts";

const BLOCK: FieldSet = {
  known: ["cidr", "except"],
  unenforced: new Map(["cidrGroupRef", "cidrGroupSelector"].map((name) => [name, "write each range as cidr"])),
};

export function readCidrPeer(text: string, path: Path): Peer {
  return { kind: "cidr", cidr: formatCidr(readRange(text, path)), except: [] };
}

/** `{cidr, except}`: an `ipBlock`, or an item of a `CIDRSet`. */
export function readCidrBlock(block: Fields): Peer {
  strict(block, BLOCK);
  const cidr = readRange(block.text("cidr"), [...block.path, "cidr"]);
  const except = block.texts("except").map((text, index) => {
    const path = [...block.path, "except", index];
    const range = readRange(text, path);
    if (!cidrContains(cidr, range.address) || prefixBits(range) < prefixBits(cidr)) {
      throw new Refusal("malformed", `${quote(text)} is not inside ${formatCidr(cidr)}; remove it`, path);
    }
    return formatCidr(range);
  });
  return { kind: "cidr", cidr: formatCidr(cidr), except };
}

function readRange(text: string, path: Path): Cidr {
  const cidr = parseCidr(text);
  // `::ffff:10.0.0.0/24` counts its bits in a family that nobody means.
  if (cidr && !(isV4(cidr.address) && text.includes(":"))) return cidr;
  const address = parseAddress(text);
  const mend = address ? `; write ${quote(`${text}/${isV4(address) ? 32 : 128}`)}` : "; use address/bits";
  throw new Refusal("malformed", `${quote(text)} is no prefix, or has bits beyond its length${mend}`, path);
}
