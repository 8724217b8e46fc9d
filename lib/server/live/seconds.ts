/** The job second by second. Shape suffixes: L MoE layers, R ranks. */
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { SchedulerLoad } from '../../head/scheduling/scheduler.js';
import { LIVE_LIMITS, type LiveSecond } from './messages.js';
import type { RequestClock } from './request_clock.js';
import { Ring } from './ring.js';

/** What a second is taken from. */
export interface SecondsParts {
  readonly clock: RequestClock;
  readonly numLayers: number;
  /** That the job has, or had, at this moment. */
  readonly numRanks: () => number;
  /** What KV blocks are held now. */
  readonly load: () => SchedulerLoad;
}

/** The last seconds. A second ends with the first event after it, so that it costs nothing while nothing happens. */
export class Seconds {
  readonly ended = new Ring<LiveSecond>(LIVE_LIMITS.numSeconds);
  private atS: number | null = null;
  private numOutputTokens = 0;
  private numPromptTokens = 0;
  /** Σ over the second's steps of the mean and the largest rank load of each layer. */
  private readonly meanLoad_L: Float64Array;
  private readonly maxLoad_L: Float64Array;

  constructor(private readonly parts: SecondsParts) {
    this.meanLoad_L = new Float64Array(parts.numLayers);
    this.maxLoad_L = new Float64Array(parts.numLayers);
  }

  /** Ends all seconds before `nowMs`: to be called before anything is counted. */
  roll(nowMs: number): void {
    const nowS = Math.floor(nowMs / 1000);
    this.atS ??= nowS;
    if (nowS <= this.atS) return;
    const second = this.end(this.atS);
    this.ended.push(second);
    const numQuiet = Math.min(nowS - this.atS - 1, LIVE_LIMITS.numSeconds);
    for (let atS = nowS - numQuiet; atS < nowS; atS++) this.ended.push({ ...second, ...this.quiet(), atS });
    this.atS = nowS;
  }

  /** Counts a step. */
  add({ plans, results, rankLoad_LR }: ObservedStep): void {
    for (const { parts } of plans) {
      for (const part of parts) if (part.isPrompt && !part.isReplay) this.numPromptTokens += part.tokenIds.length;
    }
    for (const result of results) {
      for (const output of result?.outputs ?? []) if (output.tokenId !== null) this.numOutputTokens++;
    }
    const numLeft = results.filter((result) => result !== null).length;
    for (let layer = 0; layer < rankLoad_LR.length; layer++) {
      const load_R = rankLoad_LR[layer]!;
      let [sum, max] = [0, 0];
      for (let rank = 0; rank < load_R.length; rank++) {
        sum += load_R[rank]!;
        max = Math.max(max, load_R[rank]!);
      }
      this.meanLoad_L[layer]! += sum / numLeft;
      this.maxLoad_L[layer]! += max;
    }
  }

  /** The second that ends, and nothing counted any more. */
  private end(atS: number): LiveSecond {
    const { clock } = this.parts;
    const endMs = (atS + 1) * 1000;
    const { numOutputTokens, numPromptTokens } = this;
    const second: LiveSecond = {
      ...{ atS, numOutputTokens, numPromptTokens, numRunning: clock.numRunning, numWaiting: clock.numWaiting },
      ...{ ttftMs: clock.ttft.percentiles(endMs), itlMs: clock.itl.percentiles(endMs) },
      kvUse_R: this.kvUse(),
      ...this.balances(),
    };
    this.numOutputTokens = 0;
    this.numPromptTokens = 0;
    this.meanLoad_L.fill(0);
    this.maxLoad_L.fill(0);
    return second;
  }

  /** What is different in a second without events that follows another: a step may take longer than a second. */
  private quiet(): Partial<LiveSecond> {
    const { numRunning, numWaiting } = this.parts.clock;
    const nothing = { numOutputTokens: 0, numPromptTokens: 0, balance: null, layerBalanceBase64: null };
    return numRunning + numWaiting > 0 ? nothing : { ...nothing, ttftMs: null, itlMs: null };
  }

  private kvUse(): (number | null)[] {
    const use_R = new Array<number | null>(this.parts.numRanks()).fill(null);
    for (const { rank, numUsedBlocks, numKvBlocks } of this.parts.load().ranks) {
      use_R[rank] = Math.round((1000 * numUsedBlocks) / numKvBlocks) / 1000;
    }
    return use_R;
  }

  private balances(): Pick<LiveSecond, 'balance' | 'layerBalanceBase64'> {
    const { meanLoad_L, maxLoad_L } = this;
    const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);
    if (sum(maxLoad_L) === 0) return { balance: null, layerBalanceBase64: null };
    const bytes_L = Uint8Array.from(maxLoad_L, (max, l) => (max === 0 ? 0 : Math.round((255 * meanLoad_L[l]!) / max)));
    const balance = Math.round((10_000 * sum(meanLoad_L)) / sum(maxLoad_L)) / 10_000;
    return { balance, layerBalanceBase64: Buffer.from(bytes_L).toString('base64') };
  }
}
