/** What a command writes, as an engine sends it. */
export function frame(stream: "out" | "error", text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream === "out" ? 1 : 2;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}
