/** What the machine must offer, asked before anything is made. Each answer is one line: what, where, how to mend it. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cgroup2Mount } from "../../src/kernel/cgroup.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { messageOf, UserError } from "../../src/runtime/user-error.ts";

const SETUP = "run ./deploy/setup";
/** Command -> what provides it. */
const BINARIES: Readonly<Record<string, string>> = {
  etcd: SETUP,
  etcdctl: SETUP,
  "nats-server": SETUP,
  ip: SETUP,
  bpftool: SETUP,
  nsenter: "install the package util-linux",
  mount: "install the package mount",
  umount: "install the package mount",
  sh: "install a POSIX shell",
};
/** An etcd takes 123 MB of its folder at once; three of them, and room for what they store. */
const DATA_BYTES_NEEDED = 700 * 1024 * 1024;
const MEMORY_FOLDER = "/dev/shm";

export function requireRoot(): void {
  if (process.platform !== "linux")
    throw new UserError(`mesh: needs Linux (this is ${process.platform}): the data plane is eBPF`);
  if (process.getuid?.() === 0) return;
  throw new UserError("mesh: needs root (namespaces, cgroups, eBPF), this is an ordinary user; run it with sudo");
}

/** The cgroup2 mount of this machine. */
export function requireCgroup2(mounts = readFileSync("/proc/self/mounts", "utf8")): string {
  const mount = cgroup2Mount(mounts);
  if (mount !== undefined) return mount;
  throw new UserError(
    "mesh: no cgroup2 in /proc/self/mounts, and pods are told apart by it; run: mount -t cgroup2 none /sys/fs/cgroup",
  );
}

export function missingBinaries(path: string): readonly string[] {
  const folders = path.split(":").filter((folder) => folder !== "");
  return Object.keys(BINARIES).filter((binary) => !folders.some((folder) => isExecutable(join(folder, binary))));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function requireBinaries(path: string): void {
  const missing = missingBinaries(path);
  if (missing.length === 0) return;
  const mends = [...new Set(missing.map((binary) => BINARIES[binary]))].join("; ");
  throw new UserError(`mesh: not found on PATH: ${missing.join(", ")}; ${mends}`);
}

function requireObjects(directory: string): void {
  const missing = [SOCK_LB_OBJECT, ENDPOINT_OBJECT]
    .map(({ file }) => file)
    .filter((file) => !existsSync(join(directory, file)));
  if (missing.length > 0) throw new UserError(`mesh: not compiled: ${missing.join(", ")} in ${directory}; ${SETUP}`);
}

function requireBpffs(): void {
  if (/\tbpf$/m.test(readFileSync("/proc/filesystems", "utf8"))) return;
  throw new UserError(
    "mesh: this kernel has no bpf file system (/proc/filesystems), so nothing can be pinned; use a kernel with CONFIG_BPF_SYSCALL",
  );
}

function requireWritableCgroup(root: string): void {
  const probe = join(root, `bulkhead-probe-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
  } catch (error) {
    throw new UserError(
      `mesh: cannot make a cgroup below ${root}: ${messageOf(error)}; run it outside a container, or mount cgroup2 writable`,
    );
  }
}

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return 0;
  }
}

/** Where the etcds keep their data: memory if it has room, else the temporary folder. */
export function chooseDataRoot(free: (folder: string) => number = freeBytes, temporary = tmpdir()): string {
  const root = [MEMORY_FOLDER, temporary].find((folder) => free(folder) >= DATA_BYTES_NEEDED);
  if (root !== undefined) return root;
  const needed = `${DATA_BYTES_NEEDED / 1024 / 1024} MB`;
  throw new UserError(
    `mesh: three etcds need ${needed}, and neither ${MEMORY_FOLDER} nor ${temporary} has that free; free some, or set TMPDIR`,
  );
}

/** All checks of `up`. */
export function checkMachine(objects: string): { readonly cgroupRoot: string; readonly dataRoot: string } {
  requireRoot();
  requireBinaries(process.env["PATH"] ?? "");
  requireBpffs();
  const cgroupRoot = requireCgroup2();
  requireWritableCgroup(cgroupRoot);
  requireObjects(objects);
  return { cgroupRoot, dataRoot: chooseDataRoot() };
}
