/** Users and roles of a real etcd: what nobody needs at run time, and only root may do. */
import type { Etcd3 } from "etcd3";
import { systemClock } from "../runtime/clock.ts";
import type { ConnectOptions } from "./client.ts";
import { Endpoints } from "./etcd-endpoints.ts";
import { toKvError } from "./etcd-errors.ts";

export interface RangeRight {
  readonly right: "read" | "write" | "readwrite";
  readonly key: string;
  /** Exclusive; absent: the one key. */
  readonly rangeEnd?: string;
}

/** Every call rejects with a KvError. */
export interface EtcdAdmin {
  users(): Promise<readonly string[]>;
  addUser(name: string): Promise<void>;
  removeUser(name: string): Promise<void>;
  rolesOfUser(name: string): Promise<readonly string[]>;
  giveRole(user: string, role: string): Promise<void>;
  roles(): Promise<readonly string[]>;
  addRole(name: string): Promise<void>;
  rightsOfRole(role: string): Promise<readonly RangeRight[]>;
  grant(role: string, right: RangeRight): Promise<void>;
  revoke(role: string, range: Omit<RangeRight, "right">): Promise<void>;
  /** From now on every call needs a user; there must be one named root, in the role root. */
  enable(): Promise<void>;
  close(): void;
}

export type ConnectAdmin = (options: ConnectOptions) => EtcdAdmin;

type Auth = Etcd3["auth"];
type Deadline = { readonly deadline: number };

const TYPES = { read: "Read", write: "Write", readwrite: "Readwrite" } as const;
const RIGHTS = { Read: "read", Write: "write", Readwrite: "readwrite" } as const;

const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? "");

/** @throws UserError when endpoints or certificates make no sense. */
export const connectAdmin: ConnectAdmin = (options) => new Admin(options);

class Admin implements EtcdAdmin {
  readonly #endpoints: Endpoints;
  readonly #timeoutMs: number;

  constructor(options: ConnectOptions) {
    this.#endpoints = new Endpoints(options);
    this.#timeoutMs = options.timeoutMs;
  }

  async #call<T>(run: (auth: Auth, call: Deadline) => Promise<T>): Promise<T> {
    const etcd = this.#endpoints.current;
    try {
      return await run(etcd.auth, { deadline: systemClock.wallMs() + this.#timeoutMs });
    } catch (error) {
      const failure = toKvError(error, true);
      if (failure.code === "unavailable" || failure.code === "deadline") this.#endpoints.failed(etcd);
      throw failure;
    }
  }

  async #do(run: (auth: Auth, call: Deadline) => Promise<unknown>): Promise<void> {
    await this.#call(run);
  }

  async users(): Promise<readonly string[]> {
    return (await this.#call((auth, call) => auth.userList(call))).users;
  }

  addUser(name: string): Promise<void> {
    return this.#do((auth, call) => auth.userAdd({ name, options: { no_password: true } }, call));
  }

  removeUser(name: string): Promise<void> {
    return this.#do((auth, call) => auth.userDelete({ name }, call));
  }

  async rolesOfUser(name: string): Promise<readonly string[]> {
    return (await this.#call((auth, call) => auth.userGet({ name }, call))).roles;
  }

  giveRole(user: string, role: string): Promise<void> {
    return this.#do((auth, call) => auth.userGrantRole({ user, role }, call));
  }

  async roles(): Promise<readonly string[]> {
    return (await this.#call((auth, call) => auth.roleList(call))).roles;
  }

  addRole(name: string): Promise<void> {
    return this.#do((auth, call) => auth.roleAdd({ name }, call));
  }

  async rightsOfRole(role: string): Promise<readonly RangeRight[]> {
    const { perm } = await this.#call((auth, call) => auth.roleGet({ role }, call));
    return perm.map(({ permType, key, range_end }) => {
      const right = RIGHTS[permType];
      const end = Buffer.from(range_end).toString();
      return { right, key: Buffer.from(key).toString(), ...(end !== "" && { rangeEnd: end }) };
    });
  }

  grant(name: string, { right, key, rangeEnd }: RangeRight): Promise<void> {
    const perm = { permType: TYPES[right], key: bytes(key), range_end: bytes(rangeEnd) };
    return this.#do((auth, call) => auth.roleGrantPermission({ name, perm }, call));
  }

  revoke(role: string, { key, rangeEnd }: Omit<RangeRight, "right">): Promise<void> {
    return this.#do((auth, call) =>
      auth.roleRevokePermission({ role, key: bytes(key), range_end: bytes(rangeEnd) }, call),
    );
  }

  enable(): Promise<void> {
    return this.#do((auth, call) => auth.authEnable(call));
  }

  close(): void {
    this.#endpoints.close();
  }
}
