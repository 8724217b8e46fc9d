/** Stands for `expertwire measure`: does what `workload.play` of its run says, with the command's own files. Run as a process. */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { measure } from '../../../lib/commands/experiment/measure.js';
import type { PlannedRun } from '../../../lib/experiment/base/run.js';
import { ExperimentError } from '../../../lib/experiment/base/errors.js';
import { RESULT } from './runs.js';

/** What a run may do. */
export type Play =
  'result' | 'error' | 'exit' | 'killed' | 'hang' | 'stubborn' | 'leaves a child' | 'leaves a group' | 'late';

/** `measure FOLDER`, as its runner calls it: with what comes behind where the folder is nobody else's. */
const args = process.argv.slice(2);
const isElsewhere = args.includes('--print');
const folder = isElsewhere ? args[1]! : args.at(-1)!;
const [from, print] = ['--from', '--print'].map((name) => (isElsewhere ? args[args.indexOf(name) + 1] : undefined));
const over = new AbortController();
process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'));
process.channel?.unref();

/** Nothing happens any more. It says that it is so far, where a test looks. */
async function forever(): Promise<never> {
  await writeFile(join(folder, 'began'), '');
  over.signal.throwIfAborted();
  setInterval(() => undefined, 1000);
  return new Promise<never>((_resolve, reject) => {
    over.signal.addEventListener('abort', () => reject(over.signal.reason as Error));
  });
}

async function play({ workload }: PlannedRun): Promise<typeof RESULT> {
  switch (workload.play as Play) {
    case 'result':
      return { ...RESULT, metrics: { ...RESULT.metrics, value: workload.value as number } };
    case 'error':
      throw new ExperimentError('MEASURE_FAILED', 'metric goodput is not there; pick another');
    case 'exit':
      process.stderr.write('something broke\n');
      return process.exit(7);
    case 'killed':
      process.kill(process.pid, 'SIGKILL');
      return forever();
    case 'stubborn':
      process.removeAllListeners('SIGTERM').on('SIGTERM', () => undefined);
      return forever();
    case 'leaves a child':
    case 'leaves a group': {
      const detached = workload.play === 'leaves a group';
      spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore', detached }).unref();
      return RESULT;
    }
    case 'late':
      process.removeAllListeners('SIGTERM');
      await new Promise<void>((done) => {
        process.on('SIGTERM', () => done());
        void forever().catch(() => undefined);
      });
      return RESULT;
    case 'hang':
      return forever();
  }
}

process.on('SIGTERM', () => {
  over.abort(new Error('asked to end'));
  process.exitCode = 143;
});
const { stdout, stderr, stdin, env } = process;
try {
  const context = { stdout, stderr, stdin, env, signal: over.signal };
  await measure({ folder: resolve(folder), from, print }, context, () => Promise.resolve({ runMeasure: play }));
} catch (error) {
  stderr.write(`${String(error)}\n`);
  process.exitCode ??= 1;
}
process.exit();
