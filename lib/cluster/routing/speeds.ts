/** How fast an instance is, from what it reports and from what a router sees of its answers. */
import type { InstanceRates } from '../base/instance_view.js';
import type { LoadReport } from '../base/load_report.js';

/** Latencies that the mean is of, as in LMDeploy's proxy. */
const NUM_LATENCIES = 15;
/** Of the newest value in a smoothed one. */
const WEIGHT = 0.2;
/** What each further sample leaves of the weight of earlier ones: time between tokens as a line over the number of sequences. */
const FIT_DECAY = 0.98;

/** What a router saw of one request. */
export interface SeenRequest {
  readonly latencyMs: number;
  /** From the first to the last token, by the number of tokens between; null: it had fewer than two. */
  readonly tbtMs: number | null;
  /** Requests that were there when it ended, with it. */
  readonly numRequests: number;
}

/** Of one instance. */
export class Speeds {
  private readonly latenciesMs: number[] = [];
  private prefillTokensPerS: number | null = null;
  /** It reports these itself: what a router sees of them holds waiting and the way too. */
  private reportsPrefill = false;
  private reportsTbt = false;
  private requestsPerS: number | null = null;
  private readonly tbt = new Line();

  /** A report came. */
  reported({ prefillTokensPerS, tbtMs, numRunning }: LoadReport): void {
    if (prefillTokensPerS !== null) {
      this.prefillTokensPerS = prefillTokensPerS;
      this.reportsPrefill = true;
    }
    if (tbtMs !== null && numRunning > 0) {
      this.reportsTbt = true;
      this.tbt.add(numRunning, tbtMs);
    }
  }

  /** A first token came, `ttftMs` after the request was sent, when `numTokens` were to be computed there before it, its own too. */
  sawFirstToken(numTokens: number, ttftMs: number): void {
    if (this.reportsPrefill || ttftMs <= 0) return;
    this.prefillTokensPerS = smoothed(this.prefillTokensPerS, (1000 * numTokens) / ttftMs);
  }

  /** A request ended. */
  saw({ latencyMs, tbtMs, numRequests }: SeenRequest): void {
    this.latenciesMs.push(latencyMs);
    if (this.latenciesMs.length > NUM_LATENCIES) this.latenciesMs.shift();
    if (latencyMs > 0) this.requestsPerS = smoothed(this.requestsPerS, (1000 * numRequests) / latencyMs);
    if (tbtMs !== null && !this.reportsTbt) this.tbt.add(numRequests, tbtMs);
  }

  /** With so many sequences running. */
  rates(numRunning: number): InstanceRates {
    const { latenciesMs, prefillTokensPerS, requestsPerS } = this;
    const latencyMs = latenciesMs.length === 0 ? null : latenciesMs.reduce((a, b) => a + b, 0) / latenciesMs.length;
    return { prefillTokensPerS, requestsPerS, latencyMs, tbtMs: this.tbt.at(numRunning + 1) };
  }
}

const smoothed = (before: number | null, value: number): number =>
  before === null ? value : before + WEIGHT * (value - before);

/** Least squares over samples of which the newer count more; no line falls. */
class Line {
  private n = 0;
  private x = 0;
  private y = 0;
  private xx = 0;
  private xy = 0;

  add(x: number, y: number): void {
    this.n = this.n * FIT_DECAY + 1;
    this.x = this.x * FIT_DECAY + x;
    this.y = this.y * FIT_DECAY + y;
    this.xx = this.xx * FIT_DECAY + x * x;
    this.xy = this.xy * FIT_DECAY + x * y;
  }

  /** Null: there is no sample. */
  at(x: number): number | null {
    const { n } = this;
    if (n === 0) return null;
    const spread = n * this.xx - this.x ** 2;
    const slope = spread > 1e-9 * n * this.xx ? Math.max((n * this.xy - this.x * this.y) / spread, 0) : 0;
    return this.y / n + slope * (x - this.x / n);
  }
}
