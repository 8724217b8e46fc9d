import { spawn } from 'node:child_process';
import { NativeError } from './errors.js';

/** Variables that a program sees; their PATH says where it is found. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a program runs, what it sees, and what ends it. */
export interface ProgramOptions {
  readonly cwd?: string;
  /** Default: this process's own. */
  readonly env?: Environment | undefined;
  readonly signal: AbortSignal;
}

/** How a program ended: everything that it printed, results and complaints apart. */
export interface ProgramEnd {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end; the signal kills it.
 *
 * @throws NativeError MISSING_PROGRAM; the signal's reason when it was aborted
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  { cwd, env, signal }: ProgramOptions,
): Promise<ProgramEnd> {
  signal.throwIfAborted();
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = (): void => void child.kill();
  signal.addEventListener('abort', stop, { once: true });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal.throwIfAborted();
    return { exitCode, stdout, stderr };
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    throw new NativeError('MISSING_PROGRAM', `${program} does not run here; install it and try again`, { cause });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** The last lines of what a program said, which is where the reason stands. */
export const lastLines = ({ stdout, stderr }: Pick<ProgramEnd, 'stdout' | 'stderr'>, count = 3): string =>
  `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .join('; ');
