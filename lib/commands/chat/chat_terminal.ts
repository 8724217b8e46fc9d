/** Where a session's lines come from: a person at a terminal, who sees a prompt and presses Ctrl-C, or a pipe. */
import { clearScreenDown, createInterface, moveCursor, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import type { CommandContext, Input, Output } from '../base/context.js';
import { EnteredLines, type Entered } from './entered_lines.js';

/** What Ctrl-C met. */
export interface Interruption {
  /** Something was being typed, which is gone now. */
  readonly isTyping: boolean;
}

/** Says what Ctrl-C means; false: the session ends. */
export type OnInterrupt = (interruption: Interruption) => boolean;

interface Line {
  readonly text: string;
  readonly isPasted: boolean;
  /** It was typed while nothing was shown of it. */
  readonly isUnseen: boolean;
}

const PROMPT = '> ';
const PROMPT_OF_MORE = '. ';
/** Terminals put marks around what is pasted, so that its lines aren't taken for lines that were entered. */
const PASTE_MARKS = { on: '\u001b[?2004h', off: '\u001b[?2004l' };
/** Lines that the arrow keys bring back. */
const MAX_HISTORY = 1000;
/** Of a pipe: then it waits. */
const MAX_WAITING_LINES = 64;

/** One session's input, and what is shown of it. */
export class ChatTerminal {
  /** A person types, and sees what is typed. */
  readonly isInteractive: boolean;
  /** For what is said beside the answers: the prompt gives way to it. */
  readonly stderr: Output;
  private readonly echo: Echo;
  private readonly entered = new EnteredLines();
  private readonly waiting: Line[] = [];
  private reader: Interface | null = null;
  private isPasting = false;
  private isOver = false;
  private failure: { readonly error: unknown } | null = null;
  private wake: () => void = () => undefined;
  private onInterrupt: OnInterrupt = () => false;
  private release: () => void = () => undefined;

  constructor(
    private readonly context: Pick<CommandContext, 'stdin' | 'stdout' | 'stderr' | 'signal' | 'takeInterrupts'>,
  ) {
    const { stdin, stdout, stderr } = context;
    const screen = stdout.isTTY === true ? stdout : stderr;
    this.isInteractive = stdin.isTTY === true && screen.isTTY === true;
    this.echo = new Echo(screen);
    this.stderr = noticesTo(stderr, (write) => this.besidePrompt(write));
  }

  /** Reads from here on, and says what Ctrl-C means. */
  begin(onInterrupt: OnInterrupt): void {
    this.onInterrupt = onInterrupt;
    const { stdin, signal, takeInterrupts } = this.context;
    const reader = this.isInteractive ? this.readKeys(stdin) : createInterface({ input: stdin, crlfDelay: Infinity });
    this.reader = reader;
    reader.on('line', (text: string) => this.take(text));
    reader.on('close', () => this.end());
    const stop = takeInterrupts?.(() => onInterrupt({ isTyping: false }));
    const onAbort = (): void => this.end();
    signal.addEventListener('abort', onAbort);
    this.release = () => {
      stop?.();
      signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) this.end();
  }

  /** What is entered next; null: nothing will be. @throws what {@link fail} was told */
  async next(): Promise<Entered | null> {
    for (;;) {
      if (this.failure !== null) throw this.failure.error;
      if (this.isOver && (this.context.signal.aborted || this.waiting.length === 0)) return this.entered.end();
      const line = this.waiting.shift();
      if (line === undefined) {
        await this.someLine();
        continue;
      }
      if (line.isUnseen) this.screenText(`${this.prompt}${line.text}\n`);
      const entered = this.entered.add(line.text, line.isPasted);
      if (entered !== null) return entered;
    }
  }

  /** What was typed ahead isn't wanted any more. */
  dropTyped(): void {
    if (this.isInteractive) this.waiting.length = 0;
  }

  /** Nothing more is read. Idempotent. */
  end(): void {
    this.isOver = true;
    this.wake();
  }

  /** Whoever waits for a line gets an error. */
  fail(error: unknown): void {
    this.failure ??= { error };
    this.wake();
  }

  /** The terminal is as it was before. Idempotent. */
  close(): void {
    this.release();
    this.release = () => undefined;
    if (this.reader === null) return;
    if (this.isInteractive) this.screenText(PASTE_MARKS.off);
    this.reader.close();
    this.reader = null;
  }

  private readKeys(stdin: Input): Interface {
    const reader = createInterface({ input: stdin, output: this.echo, terminal: true, historySize: MAX_HISTORY });
    this.screenText(PASTE_MARKS.on);
    stdin.on('keypress', (_text: unknown, key: { readonly name?: string } | undefined) => {
      if (key?.name === 'paste-start') this.isPasting = true;
      if (key?.name === 'paste-end') this.isPasting = false;
    });
    reader.on('SIGCONT', () => {
      this.screenText(PASTE_MARKS.on); // the shell took them away
      reader.resume();
    });
    reader.on('SIGINT', () => {
      const isTyping = !this.echo.isMuted && (reader.line !== '' || this.entered.isOpen);
      if (isTyping) this.clearTyped(reader);
      if (!this.onInterrupt({ isTyping })) this.end();
    });
    return reader;
  }

  private take(text: string): void {
    this.waiting.push({ text, isPasted: this.isPasting, isUnseen: this.isInteractive && this.echo.isMuted });
    if (!this.isInteractive && this.waiting.length > MAX_WAITING_LINES) this.reader?.pause();
    this.wake();
  }

  /** Waits for a line, the end or a failure, with a prompt for who types. */
  private async someLine(): Promise<void> {
    const { reader } = this;
    if (reader === null) {
      this.end();
      return;
    }
    const woken = new Promise<void>((resolve) => (this.wake = resolve));
    if (this.isInteractive) {
      this.echo.isMuted = false;
      reader.setPrompt(this.prompt);
      reader.prompt(true);
    } else reader.resume();
    await woken;
    this.echo.isMuted = true;
    if (this.isInteractive && this.isOver) this.screenText('\n');
  }

  private get prompt(): string {
    return this.entered.isOpen ? PROMPT_OF_MORE : PROMPT;
  }

  /** As shells do: the line stays to be seen, and is not run. */
  private clearTyped(reader: Interface): void {
    this.entered.drop();
    reader.write(null, { ctrl: true, name: 'e' });
    this.screenText('^C\n');
    this.echo.isMuted = true;
    reader.write(null, { ctrl: true, name: 'u' });
    this.echo.isMuted = false;
    reader.setPrompt(this.prompt);
    reader.prompt();
  }

  private besidePrompt(write: () => void): void {
    const { reader, echo } = this;
    const isPrompting = reader !== null && this.isInteractive && !echo.isMuted;
    if (!isPrompting) return write();
    moveCursor(echo, -1000, -reader.getCursorPos().rows);
    clearScreenDown(echo);
    write();
    reader.prompt(true);
  }

  private screenText(text: string): void {
    this.echo.screen.write(text);
  }
}

/** What readline writes of the keys that are pressed; nothing of it while an answer is shown. */
class Echo extends Writable {
  readonly isTTY = true;
  isMuted = true;

  constructor(readonly screen: Output) {
    super({ decodeStrings: false });
    screen.on('resize', () => this.emit('resize'));
  }

  get columns(): number {
    return this.screen.columns ?? 80;
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.isMuted) this.screen.write(chunk);
    done();
  }
}

function noticesTo(stderr: Output, around: (write: () => void) => void): Output {
  const write = (chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void => {
    around(() => void stderr.write(chunk));
    done();
  };
  const notices = new Writable({ decodeStrings: false, write });
  return Object.assign(notices, { isTTY: stderr.isTTY === true, columns: stderr.columns ?? 80 });
}
