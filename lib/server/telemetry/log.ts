/** The server's log: a line of JSON per event, or a line for people where a terminal shows it. */
import { pino, stdTimeFunctions, type Logger } from 'pino';
import type { ExpertwireConfig } from '../../config/schema.js';
import { TerminalLines } from './terminal_lines.js';

/** Where lines go: a stream, which may say that it is a terminal. */
export interface LogOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * A log whose lines are written at once. It knows neither prompts nor keys: nobody tells it.
 * Why: docs/decisions/telemetry.md#what-a-log-never-says
 */
export function createLog(output: LogOutput, level: ExpertwireConfig['server']['log_level']): Logger {
  const lines =
    output.isTTY === true ? new TerminalLines(output) : { write: (line: string) => void output.write(line) };
  return pino({ level, timestamp: stdTimeFunctions.isoTime, base: null }, lines);
}
