import { printable } from '../../../base/foreign_text.js';
import type { CommandContext } from './context.js';

/** Of a line: what ranks and peers say is no shorter than they like. */
const MAX_LINE_CHARS = 4000;

/**
 * Results that stream to stdout, and lines on stderr that come in between. On a terminal both land on one screen: there a line begins on a line of its own,
 * and the text goes on below it. A file or a pipe gets what it would get alone.
 */
export class SharedTerminal {
  /** Text that doesn't end with a new line was the last thing written. */
  private isInLine = false;

  constructor(private readonly context: Pick<CommandContext, 'stdout' | 'stderr'>) {}

  /** A piece of the result, to stdout. */
  text(text: string): void {
    if (text === '') return;
    this.context.stdout.write(text);
    this.isInLine = !text.endsWith('\n');
  }

  /** One line without its end, to stderr: a warning, what a rank says. */
  line(line: string): void {
    this.endLine();
    this.context.stderr.write(`${printable(line, MAX_LINE_CHARS)}\n`);
  }

  /** What is written to stderr next begins on a line of its own. Idempotent. */
  endLine(): void {
    const { stdout, stderr } = this.context;
    if (this.isInLine && stdout.isTTY === true && stderr.isTTY === true) stderr.write('\n');
    this.isInLine = false;
  }
}
