/** From lines to what they are together: a question may have several. Pure. */

const FENCE = '"""';

/** Something whole that was entered. */
export interface Entered {
  readonly text: string;
  /** A slash at its beginning is part of a question: it stood between fences, or was pasted with other lines. */
  readonly isLiteral: boolean;
}

/** Takes lines until something is whole. */
export class EnteredLines {
  /** Lines between fences; null: none is open. */
  private fenced: string[] | null = null;
  /** What stands before the fence: a command. */
  private before = '';
  private pasted: string[] = [];

  /** Something was begun and isn't whole. */
  get isOpen(): boolean {
    return this.fenced !== null || this.pasted.length > 0;
  }

  /** What was begun isn't wanted any more. */
  drop(): void {
    this.fenced = null;
    this.pasted = [];
  }

  /** A line that ended; null: more belongs to it. `isPasted`: the rest of what was pasted follows. */
  add(line: string, isPasted = false): Entered | null {
    if (this.fenced !== null) return this.addFenced(line);
    if (isPasted) {
      this.pasted.push(line);
      return null;
    }
    if (this.pasted.length > 0) {
      const text = [...this.pasted.splice(0), line].join('\n');
      return { text, isLiteral: true };
    }
    const [, before, rest] = /^(\/\w+\s+)?"""([\s\S]*)$/.exec(line) ?? [];
    if (rest === undefined) return { text: line, isLiteral: false };
    this.fenced = [];
    this.before = before ?? '';
    return this.addFenced(rest);
  }

  /** There are no more lines: what was begun is whole. */
  end(): Entered | null {
    if (this.fenced !== null) return this.close(this.fenced);
    if (this.pasted.length === 0) return null;
    return { text: this.pasted.splice(0).join('\n'), isLiteral: true };
  }

  private addFenced(line: string): Entered | null {
    if (!line.trimEnd().endsWith(FENCE)) {
      this.fenced!.push(line);
      return null;
    }
    return this.close([...this.fenced!, line.trimEnd().slice(0, -FENCE.length)]);
  }

  /** Fences on lines of their own add no lines. */
  private close(lines: readonly string[]): Entered {
    this.fenced = null;
    const [from, to] = [lines[0] === '' ? 1 : 0, lines.at(-1) === '' ? lines.length - 1 : lines.length];
    return { text: this.before + lines.slice(from, to).join('\n'), isLiteral: this.before === '' };
  }
}
