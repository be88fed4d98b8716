/** Gives an etcd its users and roles, fresh or running, any number of times. */
import type { EtcdAdmin, RangeRight } from "../kv/etcd-admin.ts";
import { type Grant, type Rights, type Role, remoteUser, type User } from "./roles.ts";

export interface RightsDone {
  /** One line each: what was done, or would be. */
  readonly done: readonly string[];
  /** What users and roles may beyond what is wanted: left as it is. */
  readonly beyond: readonly string[];
}

export interface GiveOptions {
  /** Nothing is changed. */
  readonly dryRun: boolean;
  /** Also takes away what is beyond: rights of these roles, and users of peers that are not named. */
  readonly exact: boolean;
}

/** `cilium/cache/*` is everything below, `cilium/.heartbeat` one key. */
export function rangeText({ key, rangeEnd }: Omit<RangeRight, "right">): string {
  if (rangeEnd === undefined) return key;
  const last = key.charCodeAt(key.length - 1);
  const isPrefix = rangeEnd === `${key.slice(0, -1)}${String.fromCharCode(last + 1)}`;
  return isPrefix ? `${key}*` : `${key}..${rangeEnd}`;
}

const sameRange = (left: Omit<RangeRight, "right">, right: Omit<RangeRight, "right">): boolean =>
  left.key === right.key && left.rangeEnd === right.rangeEnd;

class Giving {
  readonly done: string[] = [];
  readonly beyond: string[] = [];
  readonly #admin: EtcdAdmin;
  readonly #options: GiveOptions;

  constructor(admin: EtcdAdmin, options: GiveOptions) {
    this.#admin = admin;
    this.#options = options;
  }

  async #do(line: string, action: () => Promise<void>): Promise<void> {
    if (!this.#options.dryRun) await action();
    this.done.push(line);
  }

  async #tooMuch(line: string, taken: string, action: () => Promise<void>): Promise<void> {
    if (this.#options.exact) await this.#do(taken, action);
    else this.beyond.push(line);
  }

  async role({ name, grants }: Role, isKnown: boolean): Promise<void> {
    if (!isKnown) await this.#do(`role ${name}`, () => this.#admin.addRole(name));
    const held = isKnown ? await this.#admin.rightsOfRole(name) : [];
    for (const grant of grants) await this.#grant(name, grant, held);
    for (const extra of held.filter((one) => !grants.some((grant) => sameRange(grant, one)))) {
      const text = `${extra.right} ${rangeText(extra)}`;
      const line = `role ${name} may also ${text}`;
      await this.#tooMuch(line, `role ${name}: no more ${text}`, () => this.#admin.revoke(name, extra));
    }
  }

  async #grant(role: string, grant: Grant, held: readonly RangeRight[]): Promise<void> {
    if (held.some((one) => one.right === grant.right && sameRange(one, grant))) return;
    await this.#do(`role ${role}: ${grant.right} ${rangeText(grant)}`, () => this.#admin.grant(role, grant));
  }

  async user({ name, role }: User, isKnown: boolean): Promise<void> {
    if (!isKnown) await this.#do(`user ${name}, without password`, () => this.#admin.addUser(name));
    const roles = isKnown ? await this.#admin.rolesOfUser(name) : [];
    if (!roles.includes(role)) await this.#do(`user ${name}: role ${role}`, () => this.#admin.giveRole(name, role));
    for (const other of roles) if (other !== role) this.beyond.push(`user ${name} also has the role ${other}`);
  }

  async peers(known: readonly string[], wanted: readonly User[]): Promise<void> {
    const others = known.filter(
      (name) => name.startsWith(remoteUser("")) && !wanted.some((user) => user.name === name),
    );
    for (const name of others) {
      await this.#tooMuch(`user ${name} is no peer here`, `no more user ${name}`, () => this.#admin.removeUser(name));
    }
  }

  /** Enabled twice is no error. */
  enable(): Promise<void> {
    return this.#do("auth is on", () => this.#admin.enable());
  }
}

/** Rejects with a KvError. Interrupted, the same call goes on. */
export async function giveRights(
  admin: EtcdAdmin,
  { roles, users }: Rights,
  options: GiveOptions,
): Promise<RightsDone> {
  const giving = new Giving(admin, options);
  const [knownRoles, knownUsers] = [await admin.roles(), await admin.users()];
  if (!knownRoles.includes("root")) await giving.role({ name: "root", grants: [] }, false);
  for (const role of roles) await giving.role(role, knownRoles.includes(role.name));
  for (const user of users) await giving.user(user, knownUsers.includes(user.name));
  await giving.peers(knownUsers, users);
  // Last: from here on nobody can do anything without a certificate.
  await giving.enable();
  return giving;
}
