/** What somebody said last, to be told when it has ended. */
export class LastLines {
  private readonly lines: string[] = [];

  /** @param maxLines of those that are kept */
  constructor(private readonly maxLines: number) {}

  /** One line, without its end. Empty ones say nothing. */
  add(line: string): void {
    if (line.trim() === '') return;
    this.lines.push(line);
    if (this.lines.length > this.maxLines) this.lines.shift();
  }

  /** In order, the oldest first. */
  get all(): readonly string[] {
    return this.lines;
  }
}
