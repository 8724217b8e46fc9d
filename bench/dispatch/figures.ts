/** From repeats to figures: pure. Every figure's formula is printed with it. */
import { quantile } from '../base/machine.js';
import type { Timings } from './interleave.js';
import type { PartyName } from './parties/parties.js';

/** Fewer repeats have no hundredth part. */
const P99_FROM = 100;

export const FORMULAE = {
  p50_us: 'median over the repeats of the slowest rank’s µs; a barrier before each phase, experts not timed',
  p99_us: 'nearest rank, from 100 repeats on',
  wire_gb_per_s: 'bytes sent to other ranks, frame headers included / ranks / p50',
  logical_gb_per_s:
    'tokens per rank × topk × bytes of a row / p50, as DeepEP counts: as if each selection travelled, also to the own rank; ' +
    'row: f32 4H, bf16 2H, fp8 and int8 H + 4⌈H/128⌉',
  raw_tcp_gb_per_s:
    'the same bytes / ranks / p50 of plain TCP sockets with data events, all pairs both ways at once, in turns with ours',
  tuned_tcp_gb_per_s: 'likewise, received into one reused buffer (onread)',
  fraction_of_raw_tcp: 'raw p50 / p50',
  fraction_of_raw_tcp_at_best: 'fastest repeat of raw / fastest of ours: what a busy machine disturbs least',
  bytes_saved_by_deduplication: 'choices of experts on other ranks / rows sent there',
  bytes_saved_by_dtype: 'bytes of the same frames in f32 / bytes sent',
} as const;

/** Of the second table: what a call costs a rank besides bytes. Means over ranks and repeats. */
export const CALL_FORMULAE = {
  raw_echo_us:
    'median of one token’s frame there and back over plain TCP sockets with data events, between processes 0 and 1, in the same turns',
  times_raw_echo: 'p50 / raw_echo',
  wake_ups: 'calls that slept until frames came',
  writes: 'writes to sockets, or messages to threads',
  allocations: 'payload memories made anew, instead of from the pool',
  heap_bytes:
    'bytes of JavaScript’s heap that a call takes: lower quartile, since others take some meanwhile, and a collection shows nothing',
  copies: 'payloads that the mesh copied on arrival',
  copied_per_row:
    'bytes that typed arrays’ set and the codec’s conversions write (not the system, not sums) / (4H · (rows sent + rows received + own rows)): ' +
    'how often a row is written on a side; counted once, untimed',
} as const;

const { p50_us, p99_us, raw_tcp_gb_per_s, tuned_tcp_gb_per_s } = FORMULAE;
const { fraction_of_raw_tcp, fraction_of_raw_tcp_at_best } = FORMULAE;

/** Of plain frames. */
export const MESSAGE_FORMULAE = {
  message: 'as many frames as messages says from each rank to every other, sent at once; a barrier before',
  echo: 'one frame from rank 0 to rank 1 and back, one echo after the other; limited links let 3 ms of bytes pass at once, so small ones show delay alone',
  ...{ p50_us, p99_us },
  wire_gb_per_s:
    'bytes sent by a rank, frame headers included / p50; of an echo the bytes of one way / the time there and back',
  ...{ raw_tcp_gb_per_s, tuned_tcp_gb_per_s, fraction_of_raw_tcp, fraction_of_raw_tcp_at_best },
} as const;

/** What every timed phase has. */
export interface PhaseFigures {
  readonly p50_us: number;
  readonly p99_us: number | null;
  readonly wire_gb_per_s: number;
  readonly raw_tcp_gb_per_s: number;
  readonly tuned_tcp_gb_per_s: number;
  readonly fraction_of_raw_tcp: number;
  readonly fraction_of_raw_tcp_at_best: number;
  readonly fraction_of_tuned_tcp: number;
  readonly repeats: number;
}

/** `bytesPerRank`: sent by a rank on average. */
export function figuresOf(
  timings: Readonly<Record<PartyName, Timings>>,
  phase: string,
  bytesPerRank: number,
): PhaseFigures {
  const us = timings.mesh.us[phase]!;
  const [p50, naive, tuned] = [us, timings.naive.us[phase]!, timings.tuned.us[phase]!].map((all) => quantile(all, 0.5));
  return {
    p50_us: p50!,
    p99_us: us.length < P99_FROM ? null : quantile(us, 0.99),
    wire_gb_per_s: gbPerS(bytesPerRank, p50!),
    raw_tcp_gb_per_s: gbPerS(bytesPerRank, naive!),
    tuned_tcp_gb_per_s: gbPerS(bytesPerRank, tuned!),
    fraction_of_raw_tcp: naive! / p50!,
    fraction_of_raw_tcp_at_best: Math.min(...timings.naive.us[phase]!) / Math.min(...us),
    fraction_of_tuned_tcp: tuned! / p50!,
    repeats: us.length,
  };
}

/** 10⁹ bytes per second. */
export const gbPerS = (bytes: number, us: number): number => bytes / us / 1000;
