/** What crosses between ranks. */
import type { EngineStats } from '../../head/engine.js';
import type { Sample, SeriesMaker, Total } from './series.js';

/** Pairs of more ranks are summed up per source: 16 ranks are 256 pairs. */
const MAX_PAIRED_RANKS = 16;
/** The destination of a sum. */
const ALL = 'all';

type Pair = 'source' | 'destination';

/** Bytes and waits per pair of ranks. */
export class TrafficMetrics {
  private readonly dispatch: Total<Pair>;
  private readonly combine: Total<Pair>;
  private readonly wait: Total<Pair>;

  /** @param isFull every pair, however many ranks there are */
  constructor(
    make: SeriesMaker,
    private readonly isFull: boolean,
  ) {
    const pairs = (name: string, help: string): Total<Pair> =>
      make.total(name, help, ...(['source', 'destination'] as const));
    this.dispatch = pairs('expertwire:dispatch_bytes_total', 'Bytes that a rank sent another to dispatch tokens.');
    this.combine = pairs('expertwire:combine_bytes_total', 'Bytes that a rank sent another to combine results.');
    this.wait = pairs('expertwire:wait_seconds_total', 'Seconds that the destination waited for rows of the source.');
  }

  /** Takes over what the engine counted. */
  update({ dispatchBytes, combineBytes, waitMs }: EngineStats): void {
    this.dispatch.setAll(this.samples(dispatchBytes, 1));
    this.combine.setAll(this.samples(combineBytes, 1));
    this.wait.setAll(this.samples(waitMs, 1 / 1000));
  }

  /** What stays on a rank never crosses: it has no series. */
  private samples(table: readonly (readonly number[])[], unit: number): Sample<Pair>[] {
    if (this.isFull || table.length <= MAX_PAIRED_RANKS) {
      return table.flatMap((row, source) =>
        row.flatMap((value, destination): Sample<Pair>[] =>
          source === destination ? [] : [[{ source, destination }, value * unit]],
        ),
      );
    }
    return table.map((row, source) => [
      { source, destination: ALL },
      row.reduce((sum, value, to) => (to === source ? sum : sum + value), 0) * unit,
    ]);
  }
}
