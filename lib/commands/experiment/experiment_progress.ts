/** What is told while an experiment runs: a bar and a line for what failed in a terminal, a line per run elsewhere. */
import { printable } from '../../../base/foreign_text.js';
import type { ExperimentPlan } from '../../experiment/base/experiment.js';
import type { PlannedRun, ResultRow } from '../../experiment/base/run.js';
import { durationText, estimateOf } from '../../experiment/file/estimate.js';
import type { Output } from '../base/context.js';
import { ProgressBar } from '../base/progress_bar.js';

/** From its first run to its last. */
export class ExperimentProgress {
  private readonly bar: ProgressBar;
  private readonly numRuns: number;
  private numDone = 0;
  private doing = '';

  /** @param rowsSoFar of runs that are done */
  constructor(
    private readonly stderr: Output,
    private readonly plan: ExperimentPlan,
    private readonly rowsSoFar: () => readonly ResultRow[],
  ) {
    this.bar = new ProgressBar(stderr, plan.experiment.name);
    this.numRuns = estimateOf(plan, rowsSoFar()).numLeft;
  }

  /** A run begins. */
  begin(run: PlannedRun): void {
    this.doing = runText(run);
    this.update();
  }

  /** A run has its row. */
  done(row: ResultRow): void {
    this.numDone++;
    if (this.stderr.isTTY !== true || row.status !== 'ok') this.line(this.lineOf(row));
    this.update();
  }

  /** Takes the bar away. Idempotent. */
  close(): void {
    this.bar.close();
  }

  private get place(): string {
    return `${this.numDone}/${this.numRuns}`;
  }

  private get left(): string {
    const { leftMs, isBound, numLeft } = estimateOf(this.plan, this.rowsSoFar());
    return isBound || numLeft === 0 ? '' : `; ${durationText(leftMs)} left`;
  }

  private update(): void {
    this.bar.update(this.numDone / this.numRuns, ` ${this.place}${this.left}: ${this.doing}`);
  }

  private lineOf(row: ResultRow): string {
    const how = { ok: 'ok', failed: 'failed', timed_out: 'timed out' }[row.status];
    const why = row.error === null ? '' : `: ${row.error.code}: ${printable(row.error.message, MAX_ERROR_CHARS)}`;
    return `${this.place} ${how} after ${durationText(row.duration_ms)}: ${runText(row)}${why}${this.left}`;
  }

  private line(text: string): void {
    this.stderr.write(this.stderr.isTTY === true ? `\r\x1b[2K${text}\n` : `${text}\n`);
  }
}

const MAX_ERROR_CHARS = 500;

/** Which run it is. */
const runText = ({ point, seed, repeat }: Pick<PlannedRun, 'point' | 'seed' | 'repeat'>): string => {
  const values = Object.entries(point).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return printable([...values, `seed=${seed}`, `repeat=${repeat}`].join(' '));
};
