/** The sending end of a WebSocket server for binary messages (RFC 6455 §5): unmasked, unfragmented. */
const [FIN_BINARY, LENGTH_16, LENGTH_64] = [0x82, 126, 127];

/** The header of a message of `bodyBytes` + `restBytes` bytes with its first `bodyBytes` behind it, in one piece. */
export function messageHead(body: Uint8Array, restBytes: number): Buffer {
  const numBytes = body.byteLength + restBytes;
  const size = numBytes < LENGTH_16 ? 2 : numBytes <= 0xffff ? 4 : 10;
  const head = Buffer.allocUnsafe(size + body.byteLength);
  head[0] = FIN_BINARY;
  head[1] = size === 2 ? numBytes : size === 4 ? LENGTH_16 : LENGTH_64;
  if (size === 4) head.writeUInt16BE(numBytes, 2);
  if (size === 10) head.writeBigUInt64BE(BigInt(numBytes), 2);
  head.set(body, size);
  return head;
}
