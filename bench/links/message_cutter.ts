/** Cuts a WebSocket server's bytes into whole messages; the HTTP response in front of them is one piece too. */
export class MessageCutter {
  private bytes: Buffer = Buffer.alloc(0);
  private isHttp = true;

  /** What is whole with these bytes. */
  push(more: Buffer): Buffer[] {
    this.bytes = Buffer.concat([this.bytes, more]);
    const whole: Buffer[] = [];
    for (let length = this.next(); length > 0; length = this.next()) {
      whole.push(this.bytes.subarray(0, length));
      this.bytes = this.bytes.subarray(length);
    }
    return whole;
  }

  /** Length of the first whole piece; 0 if it isn't whole yet. */
  private next(): number {
    if (this.isHttp) {
      const end = this.bytes.indexOf('\r\n\r\n');
      if (end < 0) return 0;
      this.isHttp = false;
      return end + 4;
    }
    let at = 0;
    for (;;) {
      const frame = frameAt(this.bytes, at);
      if (frame === undefined) return 0;
      at = frame.end;
      if (frame.isLast) return at;
    }
  }
}

/** Where a frame's payload lies, and whether it ends a message. */
export interface WsFrame {
  readonly start: number;
  readonly end: number;
  readonly isLast: boolean;
}

/** The WebSocket frame (RFC 6455, 5.2) that begins at `at`, without a mask; undefined while it isn't whole. */
export function frameAt(bytes: Buffer, at: number): WsFrame | undefined {
  if (bytes.length < at + 2) return undefined;
  const short = bytes[at + 1]! & 0x7f;
  const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < at + headBytes) return undefined;
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
  const start = at + headBytes;
  const end = start + length;
  return bytes.length < end ? undefined : { start, end, isLast: (bytes[at]! & 0x80) !== 0 };
}

/** A message of one frame without a mask. */
export function binaryMessage(payload: Uint8Array): Buffer {
  const { byteLength } = payload;
  const head = Buffer.alloc(byteLength < 126 ? 2 : byteLength < 0x10000 ? 4 : 10);
  head[0] = 0x82;
  head[1] = head.length === 2 ? byteLength : head.length === 4 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(byteLength, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(byteLength), 2);
  return Buffer.concat([head, payload]);
}
