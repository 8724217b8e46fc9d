/** Memory that sockets read payloads into. */

/** So many bytes, not zeroed: the caller fills them all before anybody sees them. */
export function allocatePayload(numBytes: number): Uint8Array {
  const { buffer } = Buffer.allocUnsafeSlow(numBytes);
  return new Uint8Array(buffer, 0, numBytes);
}
