/**
 * The disk door: the few calls that Bulkhead makes. Bodies: `system.ts` (the machine's), `memory.ts` (a model), `faulty.ts` (either,
 * with faults). Every call rejects with a DiskError.
 */

export interface DiskFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A file that is there but cannot be read: kept apart, because it must not look as if it had vanished. */
export interface UnreadableFile {
  readonly name: string;
  /** One line. */
  readonly detail: string;
}

/** One directory, not its sub-directories; sorted by name. */
export interface DirectoryListing {
  readonly files: readonly DiskFile[];
  readonly unreadable: readonly UnreadableFile[];
}

export type FileContent = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export function piecesOf(content: FileContent): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  return content instanceof Uint8Array ? [content] : content;
}

export interface Disk {
  readText(path: string): Promise<string>;
  /** @param maxBytes larger files are refused; default MAX_FILE_BYTES. */
  readBytes(path: string, maxBytes?: number): Promise<Uint8Array>;
  /** Regular files, symbolic links followed; names that start with '.' (editors, atomic writers, kubelet) are left out. */
  list(directory: string): Promise<DirectoryListing>;
  /**
   * A text that differs once `list` would: names, sizes, times, inodes, read without opening a file. Writes within one tick of the file
   * system's time may look alike.
   */
  stamp(directory: string): Promise<string>;
  /**
   * The whole file or nothing, also after a power cut: readers never see a part of it. Mode 0600.
   * @param content pieces are asked for one by one, each when those before it are written; an error instead of one leaves what was there.
   */
  writeAtomic(path: string, content: FileContent): Promise<void>;
}

/** A disk on which folders are made and kept. */
export interface FolderDisk extends Disk {
  /** No error when there is none. */
  unlink(path: string): Promise<void>;
  /** With those above it; mode 0700. No error when it is there. */
  mkdir(directory: string): Promise<void>;
  /** Names of the directories in a directory, in order; links and names that start with '.' are left out. */
  folders(directory: string): Promise<readonly string[]>;
}

/** Largest file that is read unless a call says otherwise, in bytes; a larger one is refused with `too-large`. */
export const MAX_FILE_BYTES = 32 * 1024 * 1024;

export type DiskErrorCode = "absent" | "denied" | "too-large" | "no-space" | "failed";

export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: DiskErrorCode;
  /** Whether the same call may succeed later with nobody mending the path. */
  readonly retryable: boolean;

  constructor(code: DiskErrorCode, message: string) {
    super(message);
    this.code = code;
    this.retryable = code === "failed" || code === "no-space";
  }
}

export function tooLarge(path: string, bytes: number, maxBytes = MAX_FILE_BYTES): DiskError {
  return new DiskError("too-large", `${path} has ${bytes} bytes; at most ${maxBytes} are read`);
}
