/** Runs in this process: each waits until the test says how it ends. */
import type { RunEnd, Runner } from '../../../lib/experiment/base/run.js';
import { readRun } from '../../../lib/experiment/runs/run_folder.js';
import { ENVIRONMENT, RESULT } from './runs.js';

/** What becomes of a run, by its point's value of a key. */
export type Ends = (value: number) => RunEnd | Promise<RunEnd>;

/** One that went well. */
export const ok = (value: number): RunEnd => ({
  status: 'ok',
  result: { ...RESULT, metrics: { ...RESULT.metrics, tokens: value }, measureMs: 1, environment: ENVIRONMENT },
});

/** One that didn't. */
export const failed = (code: string): RunEnd => ({ status: 'failed', error: { code, message: 'played; mend it' } });

/** Says which runs it did, in their order, and how many ran at once at most. */
export class PlayedRunner implements Runner {
  readonly values: number[] = [];
  mostAtOnce = 0;
  private atOnce = 0;

  constructor(
    private readonly ends: Ends,
    readonly width = 1,
    private readonly key = 'value',
  ) {}

  async run(folder: string, _timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    const { point } = await readRun(folder);
    signal.throwIfAborted();
    this.values.push(point[this.key] as number);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    const stopped = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
    try {
      return await Promise.race([this.ends(point[this.key] as number), stopped]);
    } finally {
      this.atOnce--;
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
