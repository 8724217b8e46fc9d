/** Bytes per second between ranks, from counters that only grow. Shape suffix: RR source and destination. */
import type { LiveTraffic } from './messages.js';

/** Bytes so far. */
export interface TrafficCounts {
  readonly dispatchBytes: readonly (readonly number[])[];
  readonly combineBytes: readonly (readonly number[])[];
}

/** Turns readings of the counters into what crossed between them. */
export class TrafficMeter {
  private last: TrafficCounts = { dispatchBytes: [], combineBytes: [] };
  private lastMs = 0;
  private lastRates: LiveTraffic = { dispatch_RR: [], combine_RR: [] };

  /** As of the last reading; zero before the first one, and of ranks that came later. */
  traffic(numRanks: number): LiveTraffic {
    const ranks = [...Array(numRanks).keys()];
    const square = (rates: Bytes_RR): number[][] => ranks.map((s) => ranks.map((d) => rates[s]?.[d] ?? 0));
    return { dispatch_RR: square(this.lastRates.dispatch_RR), combine_RR: square(this.lastRates.combine_RR) };
  }

  /** Measures from now on: what crossed earlier counts no more. */
  start(counts: TrafficCounts, nowMs: number): void {
    this.last = counts;
    this.lastMs = nowMs;
    this.lastRates = this.rates(counts, 1);
  }

  /** Reads the counters. Null where nothing crossed since the last reading, nor before it. */
  read(counts: TrafficCounts, nowMs: number): LiveTraffic | null {
    const rates = this.rates(counts, Math.max(nowMs - this.lastMs, 1) / 1000);
    const isStill = isZero(rates) && isZero(this.lastRates);
    this.last = counts;
    this.lastMs = nowMs;
    this.lastRates = rates;
    return isStill ? null : rates;
  }

  private rates({ dispatchBytes, combineBytes }: TrafficCounts, seconds: number): LiveTraffic {
    const { last } = this;
    return {
      dispatch_RR: this.perSecond(dispatchBytes, last.dispatchBytes, seconds),
      combine_RR: this.perSecond(combineBytes, last.combineBytes, seconds),
    };
  }

  private perSecond(now: Bytes_RR, last: Bytes_RR, seconds: number): number[][] {
    return now.map((row, s) => row.map((bytes, d) => Math.round((bytes - (last[s]?.[d] ?? 0)) / seconds)));
  }
}

type Bytes_RR = TrafficCounts['dispatchBytes'];

const isZero = ({ dispatch_RR, combine_RR }: LiveTraffic): boolean =>
  [...dispatch_RR, ...combine_RR].every((row) => row.every((rate) => rate === 0));
