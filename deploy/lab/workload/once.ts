/** One call from wherever this runs: `once.ts tcp ADDRESS PORT` prints who answered, or the failure's code. */
import { call } from "./call.ts";

const [protocol, address = "", port] = process.argv.slice(2);
const outcome = await call({ protocol: protocol === "udp" ? "udp" : "tcp", address, port: Number(port) }).catch(
  (error: unknown) => (error instanceof Error ? error.message : String(error)),
);
process.stdout.write(`${outcome}\n`);
