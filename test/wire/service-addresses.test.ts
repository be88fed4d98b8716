import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Cidr, cidrContains, parseAddress, parseCidr } from "../../src/model/address.ts";
import { addressOfName, giveAddresses } from "../../src/wire/service-addresses.ts";

const cidrOf = (text: string): Cidr => parseCidr(text) ?? assert.fail(text);
const SMALL = cidrOf("10.140.0.0/28");
const NOBODY: ReadonlyMap<string, string> = new Map();

/** Two names that hash to one address. */
function twins(cidr: Cidr): readonly [string, string] {
  const seen = new Map<string, string>();
  for (let index = 0; ; index++) {
    const name = `shop/s${index}`;
    const address = addressOfName(name, cidr);
    const other = seen.get(address);
    if (other !== undefined) return [other, name];
    seen.set(address, name);
  }
}

function give(services: readonly string[], more: Partial<Parameters<typeof giveAddresses>[0]> = {}) {
  return giveAddresses({ services, cidr: SMALL, asked: NOBODY, before: NOBODY, ...more });
}

describe("the address of a name", () => {
  test("lies inside, and is neither the first nor the last", () => {
    const cidr = cidrOf("10.140.0.4/30");
    const found = new Set(Array.from({ length: 50 }, (_, index) => addressOfName(`shop/s${index}`, cidr)));
    assert.deepEqual([...found].sort(), ["10.140.0.5", "10.140.0.6"]);
  });

  test("is always the same, in both families", () => {
    assert.equal(addressOfName("shop/cart", cidrOf("10.140.0.0/16")), "10.140.204.134");
    assert.match(addressOfName("shop/cart", cidrOf("fd00:96::/112")), /^fd00:96::[0-9a-f]{1,4}$/);
  });
});

describe("two names, one address", () => {
  const [one, other] = twins(SMALL);
  const address = addressOfName(one, SMALL);

  test("who goes first has it, the other has the next and is told why", () => {
    for (const [first, second] of [
      [one, other],
      [other, one],
    ] as const) {
      const { given, moved, refused } = give([first, second]);
      assert.equal(given.get(first), address);
      const next = given.get(second);
      assert.ok(next !== undefined && next !== address);
      assert.deepEqual(moved, [`Service ${second} has ${next}: ${address}, the address of its name, is ${first}'s`]);
      assert.deepEqual(refused, []);
    }
  });

  test("who has it keeps it, whoever comes; alone again, the other does not move back", () => {
    const alone = give([other]);
    const both = give([one, other], { before: alone.given });
    assert.equal(both.given.get(other), address);
    const left = give([one], { before: both.given });
    assert.deepEqual(left.given.get(one), both.given.get(one));
    assert.match(left.moved.join(), /was another's when it came$/);
    assert.equal(give([one]).given.get(one), address, "without a memory it has that of its name");
  });

  test("one that is moved takes nobody's own", () => {
    const names = Array.from({ length: 8 }, (_, index) => `shop/s${index}`);
    const alone = names.filter((name) => {
      return !names.some((peer) => peer !== name && addressOfName(peer, SMALL) === addressOfName(name, SMALL));
    });
    const { given } = give(names);
    assert.ok(alone.length > 0 && alone.length < names.length);
    for (const name of alone) assert.equal(given.get(name), addressOfName(name, SMALL));
  });
});

test("a full range refuses who comes last, and moves nobody", () => {
  const names = Array.from({ length: 16 }, (_, index) => `shop/s${index}`);
  const full = give(names.slice(0, 14));
  assert.equal(full.given.size, 14);
  assert.deepEqual(full.refused, []);
  const more = give([...names].reverse(), { before: full.given });
  assert.deepEqual([...more.given].sort(), [...full.given].sort());
  assert.deepEqual(more.refused, ["shop/s15", "shop/s14"]);
  const left = give(names.slice(1), { before: full.given });
  assert.equal(left.refused.length, 1, "one that goes makes room for one");
});

test("whatever comes and goes: one address each, inside, and nobody who stays is moved", () => {
  const names = fc.uniqueArray(
    fc.integer({ min: 0, max: 40 }).map((index) => `shop/s${index}`),
    { maxLength: 20 },
  );
  const asked = fc.uniqueArray(fc.integer({ min: 1, max: 14 }), { maxLength: 3 });
  fc.assert(
    fc.property(fc.array(fc.tuple(names, asked), { maxLength: 8 }), (rounds) => {
      let before: ReadonlyMap<string, string> = new Map();
      for (const [services, hosts] of rounds) {
        const wished = new Map(hosts.map((host) => [`10.140.0.${host}`, "shop/asks"]));
        const { given, refused, moved } = give(services, { asked: wished, before });
        const addresses = [...given.values()];
        assert.equal(new Set([...addresses, ...wished.keys()]).size, addresses.length + wished.size);
        for (const text of addresses) assert.ok(cidrContains(SMALL, parseAddress(text) ?? assert.fail(text)));
        assert.equal(given.size + refused.length, services.length);
        assert.ok(refused.length === 0 || given.size + wished.size === 14, "refused only when full");
        const isOwn = ([service, address]: readonly [string, string]) => addressOfName(service, SMALL) === address;
        assert.equal(moved.length, [...given].filter((entry) => !isOwn(entry)).length);
        for (const service of services) {
          const last = before.get(service);
          if (last !== undefined && !wished.has(last)) assert.equal(given.get(service), last);
        }
        before = given;
      }
    }),
  );
});
