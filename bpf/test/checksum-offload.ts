// Devices in software leave checksums undone and never look at them; with this off, every packet that arrives was checked.
import assert from "node:assert/strict";
import koffi from "koffi";
import { inNamespace } from "../../src/kernel/namespace.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_SET_TX_CHECKSUM = 0x17;
const REQUEST_BYTES = 40;
const NAME_BYTES = 16;

/** The device (of the namespace) fills in the checksums of what it sends. */
export function checksumInSoftware(namespacePath: string, device: string): void {
  const library = koffi.load("libc.so.6");
  const socket = library.func("int socket(int, int, int)");
  const ioctl = library.func("int ioctl(int, unsigned long, void *)");
  const close = library.func("int close(int)");
  // struct ethtool_value, and struct ifreq that points to it.
  const value = Buffer.alloc(8);
  value.writeUInt32LE(ETHTOOL_SET_TX_CHECKSUM);
  const request = Buffer.alloc(REQUEST_BYTES);
  request.write(device, 0);
  request.writeBigUInt64LE(koffi.address(value), NAME_BYTES);
  inNamespace(namespacePath, () => {
    const fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert(fd >= 0);
    assert.equal(ioctl(fd, SIOCETHTOOL, request), 0, `errno ${koffi.errno()}`);
    close(fd);
  });
}
