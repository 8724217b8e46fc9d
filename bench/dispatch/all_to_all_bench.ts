/** Dispatch and combine of one setting, beside raw TCP. */
import { DEFAULT_MAX_FRAME_BYTES, FRAME_HEADER_BYTES } from '../../comm/index.js';
import { quantile } from '../base/machine.js';
import type { TimelineEvent } from '../../lib/metrics/timeline.js';
import { figuresOf, gbPerS, type PhaseFigures } from './figures.js';
import { interleave, type Timings } from './interleave.js';
import type { DispatchOptions } from './options.js';
import { elsewhere, sum, trafficOf, withWaits, type Matrices, type Matrix, type PhaseMatrices } from './matrices.js';
import type { RawPhase, Workload } from './base/orders.js';
import { Parties, type PartyName } from './parties/parties.js';
import { alphaOf, type Setting } from './settings.js';
import { f32FrameBytes, rowBytesOf, type TrafficPhase } from './base/wire.js';

/** One line of the table: a phase of a setting. */
export interface DispatchRow extends PhaseFigures {
  readonly ranks: number;
  readonly tokens: number;
  readonly hidden: number;
  readonly topk: number;
  readonly experts: number;
  /** Of dispatch; or a codec's name. */
  readonly dtype: string;
  readonly combine_dtype: string;
  readonly skew: string;
  readonly transport: string;
  readonly io_thread: boolean;
  readonly link_mbit: number | null;
  readonly phase: TrafficPhase;
  readonly logical_gb_per_s: number;
  /** Of all ranks, per repeat. */
  readonly wire_bytes: number;
  readonly bytes_saved_by_deduplication: number;
  readonly bytes_saved_by_dtype: number;
  readonly raw_echo_us: number;
  readonly times_raw_echo: number;
  /** These, of one rank and call. */
  readonly wake_ups: number;
  readonly writes: number | null;
  readonly frames: number;
  readonly allocations: number;
  readonly heap_bytes: number;
  readonly copies: number | null;
  readonly copied_per_row: number;
}

/** What one setting showed: a row per phase, who sent what to whom, and timelines. */
export interface SettingResult {
  readonly rows: readonly DispatchRow[];
  readonly matrices: Matrices;
  /** By rank; empty where no trace is asked for. */
  readonly timelines: readonly (readonly TimelineEvent[])[];
}

const PHASES = ['dispatch', 'combine'] as const satisfies readonly TrafficPhase[];

/** @throws BenchError when a process fails. */
export async function measureSetting(
  setting: Setting,
  options: DispatchOptions,
  signal: AbortSignal,
): Promise<SettingResult> {
  const parties = await openParties(setting, options, signal);
  try {
    const prepared = await parties.prepare(workloadOf(setting, options));
    const before = prepared.map(({ stats }) => stats);
    const traffic = trafficOf(before);
    const phases: RawPhase[] = PHASES.map((name) => ({ name, count: 1, bytes: traffic[name].bytes }));
    const raw = { kind: 'exchange', phases } as const;
    const echoBytes = FRAME_HEADER_BYTES + rowBytesOf(setting.dtype, options.registry, setting.hidden);
    const tasks = { mesh: { kind: 'all_to_all' }, naive: { ...raw, echoBytes }, tuned: raw } as const;
    const timings = await interleave(parties, tasks, options);
    const selections = prepared.map((rank) => rank.selections);
    const rows = PHASES.map((phase) => {
      const copiedBytes = sum(prepared.map((rank) => rank.copiedBytes[phase]));
      return rowOf({ setting, options, phase, traffic: traffic[phase], selections, copiedBytes }, timings);
    });
    const matrices = { selections, ...withWaits(traffic, trafficOf(await parties.stats()), timings.mesh.numRuns) };
    return { rows, matrices, timelines: await parties.timelines() };
  } finally {
    await parties.close();
  }
}

/** Processes whose frames hold all tokens of a rank. */
export function openParties(
  { ranks, transport, tokens, hidden, topk }: Setting,
  { ioThread, linkMbit, mode }: DispatchOptions,
  signal: AbortSignal,
): Promise<Parties> {
  const maxFrameBytes = Math.max(DEFAULT_MAX_FRAME_BYTES, f32FrameBytes('dispatch', tokens, hidden, topk));
  const microBatches = mode === 'overlap' ? 2 : 1;
  return Parties.open({ ranks, transport, ioThread, linkMbit, maxFrameBytes, microBatches, signal });
}

/** What each rank is told to prepare for a setting. */
export function workloadOf({ dtype, combineDtype, skew, ...shape }: Setting, options: DispatchOptions): Workload {
  const { tokens, hidden, topk, experts } = shape;
  const wire = { dispatch: dtype, combine: combineDtype };
  const { seed, trace, plugins } = options;
  return { tokens, hidden, topk, experts, alpha: alphaOf(skew), seed, wire, plugins, isTraced: trace !== undefined };
}

interface Measured {
  readonly setting: Setting;
  readonly options: DispatchOptions;
  readonly phase: TrafficPhase;
  readonly traffic: PhaseMatrices;
  readonly selections: Matrix;
  /** By all ranks. */
  readonly copiedBytes: number;
}

function rowOf(
  { setting, options, phase, traffic, selections, copiedBytes }: Measured,
  timings: Readonly<Record<PartyName, Timings>>,
): DispatchRow {
  const { ranks, tokens, hidden, topk, experts, dtype, combineDtype, skew, transport } = setting;
  const wireBytes = sum(traffic.bytes.flat());
  const figures = figuresOf(timings, phase, wireBytes / ranks);
  const rowBytes = rowBytesOf(phase === 'dispatch' ? dtype : combineDtype, options.registry, hidden);
  const rows = elsewhere(traffic.rows);
  return {
    ...{ ranks, tokens, hidden, topk, experts, dtype, combine_dtype: combineDtype, skew, transport, phase },
    io_thread: options.ioThread,
    link_mbit: options.linkMbit ?? null,
    ...figures,
    logical_gb_per_s: gbPerS(tokens * topk * rowBytes, figures.p50_us),
    wire_bytes: wireBytes,
    bytes_saved_by_deduplication: sum(elsewhere(selections)) / sum(rows),
    bytes_saved_by_dtype: sum(rows.map((numRows) => f32FrameBytes(phase, numRows, hidden, topk))) / wireBytes,
    ...callFiguresOf(timings, phase, figures.p50_us),
    // What travels is a row of two sides, what stays of one.
    copied_per_row: copiedBytes / (4 * hidden * (sum(traffic.rows.flat()) + sum(rows))),
  };
}

type CallFigures = Pick<
  DispatchRow,
  'raw_echo_us' | 'times_raw_echo' | 'wake_ups' | 'writes' | 'frames' | 'allocations' | 'heap_bytes' | 'copies'
>;

function callFiguresOf(
  { mesh, naive }: Readonly<Record<PartyName, Timings>>,
  phase: TrafficPhase,
  p50: number,
): CallFigures {
  const echo = quantile(naive.us.echo!, 0.5);
  const { wakeUps, writes, frames, allocations, heapBytes, copies } = mesh.counts![phase]!;
  return {
    ...{ raw_echo_us: echo, times_raw_echo: p50 / echo },
    ...{ wake_ups: wakeUps, writes, frames, allocations, heap_bytes: heapBytes, copies },
  };
}
