/** Everything that a run of `bench serve` says, once; the table, the JSON file and the picture are made of it. Pure. */
import { thisMachine, type Machine } from '../base/machine.js';
import type { LoopDelay } from './client/loop_delay.js';
import { cachedFigures, type CachedFigures } from './figures/cached_tokens.js';
import { figuresOf, type ServeFigures } from './figures/figures.js';
import { distributionOf, type Distribution } from './figures/distribution.js';
import type { RequestRecord } from './figures/record.js';
import type { ServeOptions } from './options.js';
import type { LoadRun } from './run_load.js';

/** Figures, how they came about, and how much the client is to be trusted. */
export interface ServeResult {
  readonly machine: Machine;
  readonly model: string;
  readonly notes: readonly string[];
  readonly records: readonly RequestRecord[];
  readonly figures: ServeFigures;
  readonly cached: CachedFigures;
  readonly client: ClientFigures;
}

/** How late the client itself was. */
export interface ClientFigures {
  /** Sending − the moment at which it might be sent, in milliseconds. */
  readonly sendDelayMs: Distribution | null;
  readonly loopDelay: LoopDelay;
  /** It was late by more than {@link LATE_MS}, and by more than a quarter of a gap between tokens. */
  readonly isLate: boolean;
}

/** An event loop that waits on sockets is late by a millisecond or two at its 99th percentile; more than this moves figures that people look at. */
const LATE_MS = 5;

/** Figures of a run. */
export function resultOf(
  { records, durationMs, loopDelay }: LoadRun,
  prepared: { readonly model: string; readonly notes: readonly string[] },
  options: Pick<ServeOptions, 'percentiles' | 'targets' | 'blockSize'>,
): ServeResult {
  const { model, notes } = prepared;
  const figures = figuresOf(records, durationMs, options);
  const sendDelayMs = distributionOf(
    records.map(({ startMs, plannedMs, allowedMs }) => Math.max(0, startMs - Math.max(plannedMs, allowedMs))),
    [99],
  );
  const lateMs = Math.max(loopDelay.p99Ms, sendDelayMs?.percentiles[0]?.[1] ?? 0);
  const itl = figures.latencies.itl?.median ?? 0;
  return {
    ...{ machine: thisMachine(), model, notes, records, figures },
    cached: cachedFigures(records, options.blockSize),
    client: { sendDelayMs, loopDelay, isLate: lateMs > Math.max(LATE_MS, itl / 4) },
  };
}
