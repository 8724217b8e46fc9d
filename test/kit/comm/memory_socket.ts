/** What a writer gives to a socket, kept in order; a write is over when the test says so. */
export class MemorySocket {
  readonly writes: Uint8Array[] = [];
  numCorked = 0;
  private readonly unsent: (() => void)[] = [];

  write(bytes: Uint8Array | string, onSent?: unknown): boolean {
    this.writes.push(bytes as Uint8Array);
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
    for (const onSent of this.unsent.splice(0)) onSent();
  }
}
