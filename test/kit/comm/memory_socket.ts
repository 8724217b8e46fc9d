/** What a writer gives to a socket, kept in order; a write is over when the test says so. */
export class MemorySocket {
  readonly writes: Uint8Array[] = [];
  numCorked = 0;
  /** Bytes that haven't left. */
  writableLength = 0;
  /** Bytes that are written leave at once: what lies there is kept as it is. */
  isFast = false;
  private readonly unsent: (() => void)[] = [];

  write(bytes: Uint8Array | string, onSent?: unknown): boolean {
    this.writes.push(this.isFast ? (bytes as Uint8Array).slice() : (bytes as Uint8Array));
    if (!this.isFast) this.writableLength += bytes.length;
    if (typeof onSent === 'function') this.unsent.push(onSent as () => void);
    return true;
  }

  cork(): void {
    this.numCorked++;
  }

  uncork(): void {
    this.numCorked--;
  }

  /** Everything that was written, as it lies there now. */
  bytes(): Buffer {
    return Buffer.concat(this.writes);
  }

  /** All writes so far have left. */
  sent(): void {
    for (const [i, bytes] of this.writes.entries()) this.writes[i] = bytes.slice();
    this.writableLength = 0;
    for (const onSent of this.unsent.splice(0)) onSent();
  }
}
