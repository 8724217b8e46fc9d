/** What two micro-batches in flight hide of the bytes, on a link of limited speed. */
import { median } from '../base/machine.js';
import type { TimelineEvent } from '../../lib/metrics/timeline.js';
import { openParties, workloadOf } from './all_to_all_bench.js';
import { interleave } from './interleave.js';
import type { DispatchOptions } from './options.js';
import { sum, trafficOf, type Matrix } from './matrices.js';
import type { Setting } from './settings.js';

export const OVERLAP_FORMULAE = {
  comm_ms:
    'dispatch and combine of all layers and both micro-batches, one after another, without compute; median of the slowest rank',
  compute_ms:
    'busy loops of all layers and both micro-batches, half of them attention and half experts: they block the event loop, as tensor kernels do',
  sequential_ms: 'attention, dispatch, experts, combine, one micro-batch after the other',
  overlapped_ms: 'the same, one micro-batch computing while rows of the other travel',
  hidden_fraction: '(sequential − overlapped) / min(comm, compute)',
} as const;

/** One line of the table, and of JSON; {@link OVERLAP_FORMULAE} says how its figures come about. */
export interface OverlapRow {
  readonly ranks: number;
  /** Per micro-batch. */
  readonly tokens: number;
  readonly hidden: number;
  readonly dtype: string;
  readonly combine_dtype: string;
  readonly transport: string;
  readonly io_thread: boolean;
  readonly link_mbit: number | null;
  readonly layers: number;
  /** Sent by a rank on average, per dispatch of one micro-batch. */
  readonly dispatch_bytes: number;
  readonly combine_bytes: number;
  readonly comm_ms: number;
  readonly compute_ms: number;
  readonly sequential_ms: number;
  readonly overlapped_ms: number;
  readonly hidden_fraction: number;
  readonly repeats: number;
}

const MICRO_BATCHES = 2;

/** @throws BenchError when a process fails. */
export async function measureOverlap(
  setting: Setting,
  options: DispatchOptions,
  signal: AbortSignal,
): Promise<{ readonly row: OverlapRow; readonly timelines: readonly (readonly TimelineEvent[])[] }> {
  const { layers } = options;
  const parties = await openParties(setting, options, signal);
  try {
    const prepared = await parties.prepare(workloadOf(setting, options));
    const sent = trafficOf(prepared.map(({ stats }) => stats));
    const perRank = (bytes: Matrix): number => sum(bytes.flat()) / setting.ranks;
    // Compute that takes as long as the bytes leaves most to hide.
    const alone = { mesh: { kind: 'overlap', layers, computeMs: 0 } } as const;
    const once = { iterations: 1, warmUp: 0, maxSeconds: options.maxSeconds };
    const commMs = (await interleave(parties, alone, once)).mesh.us.comm![0]! / 1000;
    const computeMs = options.computeMs ?? commMs / (MICRO_BATCHES * layers);
    const task = { mesh: { kind: 'overlap', layers, computeMs } } as const;
    const { us } = (await interleave(parties, task, options)).mesh;
    const ms = (phase: string): number => median(us[phase]!) / 1000;
    const [comm, compute, sequential, overlapped] = [ms('comm'), ms('compute'), ms('sequential'), ms('overlapped')];
    const { ranks, tokens, hidden, dtype, combineDtype, transport } = setting;
    const row = {
      ...{ ranks, tokens, hidden, dtype, combine_dtype: combineDtype, transport },
      io_thread: options.ioThread,
      link_mbit: options.linkMbit ?? null,
      layers,
      dispatch_bytes: perRank(sent.dispatch.bytes),
      combine_bytes: perRank(sent.combine.bytes),
      comm_ms: comm,
      compute_ms: compute,
      sequential_ms: sequential,
      overlapped_ms: overlapped,
      hidden_fraction: (sequential - overlapped) / Math.min(comm, compute),
      repeats: us.comm!.length,
    };
    return { row, timelines: await parties.timelines() };
  } finally {
    await parties.close();
  }
}
