import { join } from 'node:path';
import { runProgram, type Environment, type ProgramEnd } from './program.js';

/** Where an installation works: a folder whose contents are thrown away at its end, and how it runs programs. */
export interface Workshop {
  readonly scratch: string;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

/**
 * Runs a program of another make. What it writes for itself lies in the workshop too: nothing stays behind when it is killed, and libraries of half a
 * gigabyte aren't put into a /tmp in memory.
 *
 * @throws NativeError MISSING_PROGRAM; the signal's reason when it was aborted
 */
export const runIn = (
  { scratch, env, signal }: Workshop,
  program: string,
  args: readonly string[],
): Promise<ProgramEnd> => runProgram(program, args, { cwd: scratch, env: { ...env, TMPDIR: scratch }, signal });

/** A path in the folder that is thrown away. */
export const scratchPath = ({ scratch }: Workshop, name: string): string => join(scratch, name);
