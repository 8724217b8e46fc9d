/** A terminal with a person at it, for commands that run in this process. */
import { PassThrough } from 'node:stream';
import type { CommandContext } from '../../../lib/commands/base/context.js';
import { commandContext } from './command_context.js';
import { Screen } from './screen.js';

export class TypedTerminal {
  /** Keys come as they are pressed. */
  isRaw = false;
  readonly context: CommandContext;
  private readonly screen = new Screen();
  private readonly stdin: PassThrough;
  private from = 0;

  constructor(signal?: AbortSignal) {
    const setRawMode = (isRaw: boolean): void => void (this.isRaw = isRaw);
    this.stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode });
    const [stdout, stderr] = [this.screen.output(true), this.screen.output(true)];
    this.context = { ...commandContext(signal), stdin: this.stdin, stdout, stderr };
  }

  /** All that was shown. */
  get shown(): string {
    return this.screen.shown;
  }

  /** Presses keys: '\r' is Enter, '\u0003' Ctrl-C, '\u0004' Ctrl-D. */
  types(keys: string): void {
    this.stdin.write(keys);
  }

  /** Waits until a text is shown, after all that was waited for before. */
  async shows(text: string): Promise<void> {
    const at = (): number => this.shown.indexOf(text, this.from);
    while (at() < 0) await new Promise<void>((resolve) => (this.screen.onText = () => resolve()));
    this.from = at() + text.length;
  }
}
