/** A router second by second. */
import { Latencies } from '../../server/live/latencies.js';
import { LIVE_LIMITS } from '../../server/live/messages.js';
import { Ring } from '../../server/live/ring.js';
import type { ClusterSecond } from './messages.js';

/** What is counted. */
export type SecondCounts = Pick<
  ClusterSecond,
  'numRequests' | 'numOutputTokens' | 'numPromptTokens' | 'numCachedTokens' | 'numMoves'
>;
/** What is read at the end of a second. */
export type SecondLevels = Pick<ClusterSecond, 'numRunning' | 'numWaiting' | 'kvMost' | 'kvLeast'>;

const NOTHING: SecondCounts = {
  ...{ numRequests: 0, numOutputTokens: 0, numPromptTokens: 0, numCachedTokens: 0, numMoves: 0 },
};

/** The last seconds. A second ends with the first event after it, so that it costs nothing while nothing happens. */
export class ClusterSeconds {
  readonly ended = new Ring<ClusterSecond>(LIVE_LIMITS.numSeconds);
  /** Until the first token of an answer. */
  readonly ttft = new Latencies();
  private atS: number | null = null;
  private counts: SecondCounts = NOTHING;
  private kept: SecondLevels = { numRunning: 0, numWaiting: 0, kvMost: null, kvLeast: null };

  constructor(private readonly levels: () => SecondLevels) {}

  /** Ends all seconds before `nowMs`: to be called before anything is counted. */
  roll(nowMs: number): void {
    const nowS = Math.floor(nowMs / 1000);
    this.atS ??= nowS;
    if (nowS <= this.atS) return;
    // What is read now may have begun just now, long after these seconds.
    if (nowS === this.atS + 1) this.keep();
    this.end(this.atS, this.counts);
    const numQuiet = Math.min(nowS - this.atS - 1, LIVE_LIMITS.numSeconds);
    for (let atS = nowS - numQuiet; atS < nowS; atS++) this.end(atS, NOTHING);
    this.counts = NOTHING;
    this.atS = nowS;
  }

  /** Levels changed: seconds that end without anybody looking have these. */
  keep(): void {
    this.kept = this.levels();
  }

  /** Something happened in the second that runs. */
  add(more: Partial<SecondCounts>): void {
    const counts = { ...this.counts };
    for (const [name, count] of Object.entries(more)) counts[name as keyof SecondCounts] += count;
    this.counts = counts;
  }

  private end(atS: number, counts: SecondCounts): void {
    this.ended.push({ atS, ...counts, ...this.kept, ttftMs: this.ttft.percentiles((atS + 1) * 1000) });
  }
}
