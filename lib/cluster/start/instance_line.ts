/** What an instance wrote: a line of its log, which is JSON, or any other. Pure. */
import { jsonOrUndefined, printable } from '../../../base/foreign_text.js';

type Level = 'debug' | 'info' | 'warn' | 'error';

/** Levels of a log, by pino's numbers. */
const LEVELS: ReadonlyMap<unknown, Level> = new Map([
  [20, 'debug'],
  [30, 'info'],
  [40, 'warn'],
  [50, 'error'],
]);
/** Of a line that is no log: a rank, Node or a native library says something. */
const LEVEL_OF_OTHERS = 'info';
const MAX_LINE_CHARS = 4000;

const TOLD_APART = new Set(['level', 'time', 'msg']);

/** One line. */
export interface InstanceLine {
  readonly level: Level;
  readonly text: string;
  /** What belongs to it. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What a line says. */
export function instanceLine(line: string): InstanceLine {
  const told = line.startsWith('{') ? jsonOrUndefined(line) : undefined;
  if (!isLog(told)) return { level: LEVEL_OF_OTHERS, text: printable(line, MAX_LINE_CHARS), fields: {} };
  const fields = Object.fromEntries(Object.entries(told).filter(([name]) => !TOLD_APART.has(name)));
  return { level: LEVELS.get(told.level) ?? LEVEL_OF_OTHERS, text: printable(told.msg, MAX_LINE_CHARS), fields };
}

interface Log extends Readonly<Record<string, unknown>> {
  readonly level: number;
  readonly msg: string;
}

const isLog = (told: unknown): told is Log =>
  typeof told === 'object' && told !== null && 'msg' in told && typeof told.msg === 'string' && 'level' in told;
