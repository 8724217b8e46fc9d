/** Runs the trials of the kernels, each in a process of its own, which may crash, hang, or tell something else. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { judgeTrial, NOT_STARTED, type KernelTrial, type Told, type TrialEnd } from './kernel_trial.js';

/** What ends trials early, and what tests have otherwise. */
export interface TrialOptions {
  readonly signal?: AbortSignal | undefined;
  /** JavaScript that a process runs. Default: try_kernels.js. */
  readonly file?: string;
  /** How long a process may take. Default 30000: it takes a few seconds, but the machine may be busy. */
  readonly timeoutMs?: number;
  /** Of the Node that runs them. Default: this one's. */
  readonly version?: string;
}

const TIMEOUT_MS = 30_000;
const TRY_KERNELS = fileURLToPath(new URL('./try_kernels.js', import.meta.url));

/** What the kernels can be here. Never rejects: what goes wrong is what the trial shows. */
export async function tryKernels(options: TrialOptions = {}): Promise<KernelTrial> {
  const [bits, width] = await Promise.all([runTrial('bits', options), runTrial('width', options)]);
  return judgeTrial(bits, width, { node: options.version ?? process.version });
}

function runTrial(
  what: 'bits' | 'width',
  { file = TRY_KERNELS, timeoutMs = TIMEOUT_MS, signal }: TrialOptions,
): Promise<TrialEnd> {
  const told: Told[] = [];
  let log = '';
  return new Promise((resolve) => {
    const end = (reason: string | null): void => resolve({ told, reason, log });
    const child = started(() =>
      fork(file, [what], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: ['--no-warnings'], signal }),
    );
    if (child instanceof Error) return end(`${NOT_STARTED}: ${child.message}`);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.once('error', ({ message }) => {
      clearTimeout(timer);
      end(`${NOT_STARTED}: ${message}`);
    });
    child.once('close', (code, killer) => {
      clearTimeout(timer);
      if (isLate) return end(`its trial did not end in ${timeoutMs} ms`);
      end(code === 0 ? null : `its trial ended with ${killer ?? `exit code ${code}`}${lastWords(log)}`);
    });
    child.on('message', (message) => void told.push(message as Told));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text)); // none where no file can be opened any more
  });
}

/** Node's permissions may forbid processes: that is thrown, where other reasons are events. */
function started(start: () => ChildProcess): ChildProcess | Error {
  try {
    return start();
  } catch (error) {
    return error as Error;
  }
}

/** The line in which V8 or an error says what is wrong. */
function lastWords(log: string): string {
  const line = log
    .split('\n')
    .find((each) => /\w*Error: |Check failed|Fatal error/.test(each) && !each.includes('unrecognized flag'));
  return line === undefined ? '' : ` (${line.replace(/^#\s*/, '').trim()})`;
}
