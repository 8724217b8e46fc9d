/** Several streams, one terminal: the first unfinished one is shown live, the others wait for their turn in order. */
export class OrderedPrinter {
  private readonly buffers: string[];
  private readonly isDone: boolean[];
  private current = 0;

  constructor(
    numStreams: number,
    private readonly write: (text: string) => void,
  ) {
    this.buffers = Array.from({ length: numStreams }, () => '');
    this.isDone = Array.from({ length: numStreams }, () => false);
  }

  /** Text of a stream: written at once where the stream is shown, kept otherwise. */
  push(stream: number, text: string): void {
    if (stream === this.current) this.write(text);
    else this.buffers[stream] = (this.buffers[stream] ?? '') + text;
  }

  /** Ends a stream; when it was the one shown, the next ones follow. */
  end(stream: number): void {
    this.isDone[stream] = true;
    while (this.isDone[this.current] === true) {
      this.current++;
      const next = this.buffers[this.current];
      if (next !== undefined && next !== '') this.write(next);
    }
  }
}
