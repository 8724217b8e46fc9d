/** What ranks here were told to read from ranks of other instances. */
import type { HandoverRunner } from '../../job/step_runner.js';
import type { FetchOrder, HandoverOrder, PullOrder, PullReport } from '../../protocol/handover.js';

/** Numbers pulls, and brings their reports to who ordered them. */
export class Pulls {
  private nextPull = 0;
  /** By pull. */
  private readonly running = new Map<number, (report: PullReport) => void>();

  constructor(private readonly job: Pick<HandoverRunner, 'handover' | 'watchPulls'>) {
    job.watchPulls((_rank, report) => this.running.get(report.pull)?.(report));
  }

  /**
   * Has a rank pull; resolves with what came of it. Rejects with the reason of `signal`: whoever aborts it may take it that nothing is written behind that any more. Nobody
   * hears of a rank that is lost.
   */
  pull(rank: number, order: Omit<PullOrder, 'pull'>, signal: AbortSignal): Promise<PullReport> {
    return this.run(rank, (pull) => ({ kind: 'pull', order: { ...order, pull } }), signal);
  }

  /** As {@link pull}, of whole blocks. */
  fetch(rank: number, order: Omit<FetchOrder, 'pull'>, signal: AbortSignal): Promise<PullReport> {
    return this.run(rank, (pull) => ({ kind: 'fetch', order: { ...order, pull } }), signal);
  }

  private async run(rank: number, orderOf: (pull: number) => HandoverOrder, signal: AbortSignal): Promise<PullReport> {
    signal.throwIfAborted();
    const pull = this.nextPull++;
    const { job, running } = this;
    return new Promise<PullReport>((resolve, reject) => {
      const cancel = (): void => {
        running.delete(pull);
        job.handover(rank, { kind: 'cancel_pull', pull });
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', cancel, { once: true });
      running.set(pull, (report) => {
        running.delete(pull);
        signal.removeEventListener('abort', cancel);
        resolve(report);
      });
      job.handover(rank, orderOf(pull));
    });
  }
}
