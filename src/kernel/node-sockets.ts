/** The sockets' real body: sock_diag in each namespace, which is entered for the time of one visit. Formats: linux/inet_diag.h, linux/net_namespace.h. */
import { closeSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type ConnectedSocket, KernelError, type NodeSockets } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { inNamespace, OWN_NAMESPACE } from "./namespace.ts";
import { attribute, NETLINK_PROTOCOL, NetlinkSocket, parseAttributes } from "./netlink.ts";
import { readLinks } from "./network.ts";

const SOCKETS_BY_FAMILY = 20;
const DESTROY = 21;
const REQUEST_BYTES = 56;
/** Of a request: where the socket's own name is, which is in an answer behind a word. */
const ID_IN_REQUEST = 8;
const ID_IN_ANSWER = 4;
const ID_BYTES = 48;
const ID = { destinationPort: 2, destination: 20, cookie: 40 } as const;
const AF_INET = 2;
const FAMILIES = [AF_INET, 10] as const;
const UDP = 17;
/** The only state in which a UDP socket is connected, as a bit. */
const CONNECTED = 1 << 1;
const V4_PREFIX = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);

const GET_NAMESPACE_ID = 90;
const NEW_NAMESPACE_ID = 88;
const NAMESPACE_HEADER_BYTES = 4;
const NAMESPACE = { id: 1, fd: 3 } as const;

/** It closed, or is another one by now. */
const GONE: ReadonlySet<number> = new Set([ERRNO.ENOENT, ERRNO.ESTALE]);
/** What a folder of namespaces may hold besides, or lose while it is read. */
const NO_NAMESPACE: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "EACCES", "EISDIR"]);

/** @param folders where container runtimes keep namespaces, such as /var/run/netns; those that are not there are passed over. */
export function nodeSockets(folders: readonly string[]): NodeSockets {
  return {
    namespaces() {
      try {
        return findNamespaces(folders);
      } catch (error) {
        throw asKernelError("looking for network namespaces", error);
      }
    },
    closeUdp(namespace, limit, chosen) {
      try {
        return inNamespace(namespace, () => closeHere(limit, chosen));
      } catch (error) {
        if (isAbsent(error)) return [];
        throw asKernelError(`looking into ${namespace}`, error);
      }
    },
  };
}

/** What files say is the kernel's word too. Anything else is a mistake of ours, or worse. */
function asKernelError(what: string, error: unknown): unknown {
  const { errno } = error as NodeJS.ErrnoException;
  return error instanceof KernelError || errno === undefined ? error : kernelError(what, -errno);
}

function isAbsent(error: unknown): boolean {
  if (error instanceof KernelError) return error.errno === ERRNO.EINVAL;
  return NO_NAMESPACE.has((error as NodeJS.ErrnoException).code);
}

function findNamespaces(folders: readonly string[]): { paths: readonly string[]; unreached: number } {
  const wanted = new Set(readLinks().flatMap(({ kind, peer }) => (kind === "veth" && peer ? [peer.namespace] : [])));
  const all = wanted.size;
  const paths = [OWN_NAMESPACE];
  const socket = new NetlinkSocket();
  try {
    for (const path of folders.flatMap(entriesOf)) {
      // One namespace may have several names.
      if (wanted.delete(namespaceId(socket, path))) paths.push(path);
    }
  } finally {
    socket.close();
  }
  return { paths, unreached: all - (paths.length - 1) };
}

function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** By which this namespace knows the other; negative when it does not. */
function namespaceId(socket: NetlinkSocket, path: string): number {
  let fd = -1;
  try {
    fd = openSync(path, "r");
    const request = Buffer.concat([Buffer.alloc(NAMESPACE_HEADER_BYTES), attribute(NAMESPACE.fd, fd)]);
    const [body] = socket.ask(GET_NAMESPACE_ID, request, NEW_NAMESPACE_ID);
    const found = body && parseAttributes(body.subarray(NAMESPACE_HEADER_BYTES), NAMESPACE.id).get(NAMESPACE.id);
    return found?.length === 4 ? found.readInt32LE(0) : -1;
  } catch (error) {
    if (isAbsent(error)) return -1;
    throw error;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

interface FoundSocket extends ConnectedSocket {
  readonly family: number;
  /** As the kernel names it. */
  readonly id: Buffer;
}

/** Of an answer about one socket; undefined when it is no whole one. */
export function parseSocket(body: Buffer): FoundSocket | undefined {
  if (body.length < ID_IN_ANSWER + ID_BYTES) return undefined;
  const family = body.readUInt8(0);
  const id = body.subarray(ID_IN_ANSWER, ID_IN_ANSWER + ID_BYTES);
  const peer = id.subarray(ID.destination, ID.destination + 16);
  const address = family === AF_INET ? Uint8Array.from([...V4_PREFIX, ...peer.subarray(0, 4)]) : Uint8Array.from(peer);
  return { family, id, address, port: id.readUInt16BE(ID.destinationPort), cookie: id.readBigUInt64LE(ID.cookie) };
}

function closeHere(limit: number, chosen: (socket: ConnectedSocket) => boolean): readonly ConnectedSocket[] {
  const netlink = new NetlinkSocket(0, NETLINK_PROTOCOL.socketDiagnosis);
  try {
    const closed: ConnectedSocket[] = [];
    for (const family of FAMILIES) {
      for (const body of netlink.dump(SOCKETS_BY_FAMILY, request(family), SOCKETS_BY_FAMILY)) {
        if (closed.length >= limit) return closed;
        const socket = parseSocket(body);
        if (socket !== undefined && chosen(socket) && close(netlink, socket)) closed.push(socket);
      }
    }
    return closed;
  } finally {
    netlink.close();
  }
}

/** @param id of the one that is meant; absent: all. */
function request(family: number, id?: Buffer): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  bytes.writeUInt8(family, 0);
  bytes.writeUInt8(UDP, 1);
  bytes.writeUInt32LE(CONNECTED, 4);
  id?.copy(bytes, ID_IN_REQUEST);
  return bytes;
}

/** The kernel compares the cookie too: no other socket that took its addresses is closed. */
function close(netlink: NetlinkSocket, { family, id }: FoundSocket): boolean {
  try {
    netlink.ask(DESTROY, request(family, id));
    return true;
  } catch (error) {
    if (error instanceof KernelError && GONE.has(error.errno)) return false;
    throw error;
  }
}
