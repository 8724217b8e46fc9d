/** A command of expertwire in a process of its own, in the shard's folder. */
import { join } from 'node:path';
import { printable } from '../../../base/foreign_text.js';
import { RunProcess, type ProcessExit } from '../../experiment/runs/run_process.js';
import { lastWords } from '../../experiment/runs/run_end.js';
import { RUN_FILES } from '../../experiment/runs/run_folder.js';
import { JobError } from '../base/errors.js';
import { filled } from '../base/placeholders.js';
import { allowedCommand } from '../work/allowed_command.js';
import type { Execute } from './execution.js';
import { followFile } from './followed_file.js';
import { INPUTS } from './shard_folder.js';

/** What a command printed, among the files that it left. */
export const OUTPUT_FILE = 'output.txt';

/** Runs it to its end. What it prints is its file `output.txt`, and with all else that it says its log. */
export const runCommand: Execute<'command'> = async ({ args }, context) => {
  const { folder, rights, realPath, program, env, signal, graceMs, log } = context;
  const inputs = join(folder.path, INPUTS);
  const words = args.map((arg) => filled(arg, ({ name }) => (name === 'inputs' ? inputs : undefined)));
  const allowed = allowedCommand(words, rights, realPath);
  signal.throwIfAborted();
  const output = join(folder.path, OUTPUT_FILE);
  const options = { env, folder: folder.top, cwd: folder.path, output };
  const child = await RunProcess.start({ program: [...program, 'task', '--spawned', ...allowed], ...options });
  const logFile = join(folder.top, RUN_FILES.log);
  const follows = [output, logFile].map((path) => followFile(path, log));
  const stop = (): void => child.stop(graceMs);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  const exit = await child.ended();
  signal.removeEventListener('abort', stop);
  await Promise.all(follows.map((end) => end()));
  if (exit.code === 0) return { files: null, value: null };
  signal.throwIfAborted();
  throw new JobError('TASK_FAILED', await whyOf(args[0]!, exit, logFile));
};

async function whyOf(name: string, { code, signal, notStarted }: ProcessExit, logFile: string): Promise<string> {
  if (notStarted !== null)
    return `${name} can't be started (${printable(notStarted)}); free memory, or raise the limits of processes there`;
  const words = await lastWords(logFile);
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  return `${name} ended ${how}${words}; ${signal === 'SIGKILL' ? 'look whether memory ran out' : 'look into its log (expertwire jobs logs)'}`;
}
