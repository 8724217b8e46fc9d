/** Lines of a log as people read them: the time of day, the message, then what belongs to it. */
import { printable } from '../../../base/foreign_text.js';

type Line = Readonly<Record<string, unknown>>;

/** Of one value in a line. */
const MAX_VALUE_CHARS = 200;
/** What a line begins with, or what only a program wants. */
const SHOWN_APART = new Set(['level', 'time', 'msg']);

/** pino's levels from here on get a word in front. */
const WORDS: readonly (readonly [level: number, word: string])[] = [
  [50, 'error: '],
  [40, 'warning: '],
];

/** Takes lines of JSON. */
export class TerminalLines {
  constructor(private readonly output: { write(text: string): unknown }) {}

  /** Writes one line for people. */
  write(json: string): void {
    const line = JSON.parse(json) as Line;
    const { level, time, msg } = line;
    const word = WORDS.find(([from]) => Number(level) >= from)?.[1] ?? '';
    const rest = Object.entries(line)
      .filter(([name, value]) => !SHOWN_APART.has(name) && value !== null)
      .map(([name, value]) => `${name}=${valueText(name, value)}`);
    const day = String(time).slice(11, 19);
    this.output.write(
      `${[day, `${word}${printable(typeof msg === 'string' ? msg : '', MAX_VALUE_CHARS)}`, ...rest].join(' ')}\n`,
    );
  }
}

function valueText(name: string, value: unknown): string {
  const text = name === 'err' ? String((value as Line).message) : value;
  return printable(typeof text === 'string' ? text : JSON.stringify(text), MAX_VALUE_CHARS);
}
