/** What the benchmark prints for people. */
import { bytes, table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../base/machine.js';
import type { DispatchRow } from './all_to_all_bench.js';
import type { BackToBackRow } from './back_to_back_bench.js';
import type { PhaseFigures } from './figures.js';
import type { Matrices, Matrix, PhaseMatrices } from './matrices.js';
import type { MessageRow } from './message_bench.js';
import type { OverlapRow } from './overlap_bench.js';

/** Machine, seed and the formula of every figure. */
export function header(seed: number, formulae: Readonly<Record<string, string>>): string {
  const { cpu, cores, memory, node } = thisMachine();
  const lines = Object.entries(formulae).map(([name, formula]) => `  ${name} = ${formula}`);
  return [`${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}`, ...lines].join('\n');
}

/** One line per setting and phase of the all-to-all. */
export function dispatchTable(rows: readonly DispatchRow[]): string {
  const names = ['dtype', 'µs p50', 'p99', 'logical GB/s', ...SPEED, 'dedup', 'dtype saves', 'repeats'];
  return table([
    ['ranks × tokens × hidden, topk/experts', 'skew', 'transport', 'phase', ...names],
    ...rows.map((row) => [
      `${row.ranks} × ${row.tokens} × ${row.hidden}, ${row.topk}/${row.experts}`,
      row.skew,
      transportOf(row),
      row.phase,
      row.phase === 'dispatch' ? row.dtype : row.combine_dtype,
      ...times(row),
      row.logical_gb_per_s.toFixed(3),
      ...speeds(row),
      `${row.bytes_saved_by_deduplication.toFixed(2)}x`,
      `${row.bytes_saved_by_dtype.toFixed(2)}x`,
      String(row.repeats),
    ]),
  ]);
}

/** What each call costs a rank, beside an echo of the same run. */
export function callTable(rows: readonly DispatchRow[]): string {
  const count = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
  const counts = ['wake-ups', 'writes', 'frames', 'new payloads', 'heap bytes', 'copied on arrival'];
  return table([
    ['per rank and call', 'transport', 'phase', 'dtype', 'µs p50', 'raw echo', 'of echo', ...counts, 'copied per row'],
    ...rows.map((row) => [
      `${row.ranks} × ${row.tokens} × ${row.hidden}`,
      transportOf(row),
      row.phase,
      row.phase === 'dispatch' ? row.dtype : row.combine_dtype,
      row.p50_us.toFixed(0),
      row.raw_echo_us.toFixed(0),
      `${row.times_raw_echo.toFixed(1)}x`,
      ...[row.wake_ups, row.writes, row.frames, row.allocations].map(count),
      row.heap_bytes.toFixed(0),
      count(row.copies),
      row.copied_per_row.toFixed(2),
    ]),
  ]);
}

/** One line per setting of pairs back to back. */
export function backToBackTable(rows: readonly BackToBackRow[]): string {
  const times = (value: number | null): string => (value === null ? '-' : `${value.toFixed(2)}x`);
  const names = ['raw TCP', 'of raw', 'tuned', 'of tuned', 'echo', 'of echo', 'cpu µs', 'of f32', 'pairs × blocks'];
  return table([
    ['ranks × tokens × hidden, topk/experts', 'skew', 'transport', 'dtype', 'µs a pair', 'best', ...names],
    ...rows.map((row) => [
      `${row.ranks} × ${row.tokens} × ${row.hidden}, ${row.topk}/${row.experts}`,
      row.skew,
      transportOf(row),
      `${row.dtype}/${row.combineDtype}`,
      ...[row.pair_us, row.best_us].map((us) => us.toFixed(0)),
      ...[row.raw_us.toFixed(0), times(row.times_raw), row.tuned_us.toFixed(0), times(row.times_tuned)],
      ...[row.echo_us.toFixed(0), times(row.times_echo), row.cpu_us?.toFixed(0) ?? '-', times(row.times_f32)],
      `${row.pairs_per_block} × ${row.blocks}`,
    ]),
  ]);
}

/** One line per size and phase of plain messages. */
export function messageTable(rows: readonly MessageRow[]): string {
  return table([
    ['message', 'ranks', 'transport', 'phase', 'µs p50', 'p99', ...SPEED, 'µs / raw', 'repeats'],
    ...rows.map((row) => [
      `${row.messages} × ${bytes(row.message_bytes)}`,
      String(row.ranks),
      transportOf(row),
      row.phase,
      ...times(row),
      ...speeds(row),
      `${(1 / row.fraction_of_raw_tcp).toFixed(2)}x`,
      String(row.repeats),
    ]),
  ]);
}

/** One line per setting of two micro-batches in flight. */
export function overlapTable(rows: readonly OverlapRow[]): string {
  return table([
    [
      'ranks × tokens × hidden',
      'dtype',
      'transport',
      'layers',
      'bytes out',
      'back',
      'comm ms',
      'compute',
      'sequential',
      'overlapped',
      'hidden',
    ],
    ...rows.map((row) => [
      `${row.ranks} × ${row.tokens} × ${row.hidden}`,
      `${row.dtype}/${row.combine_dtype}`,
      transportOf(row),
      String(row.layers),
      bytes(row.dispatch_bytes),
      bytes(row.combine_bytes),
      ...[row.comm_ms, row.compute_ms, row.sequential_ms, row.overlapped_ms].map((ms) => ms.toFixed(0)),
      `${(100 * row.hidden_fraction).toFixed(0)} %`,
    ]),
  ]);
}

/** One matrix after the other, per repeat. */
export function matrixTables(title: string, { selections, dispatch, combine }: Matrices): string {
  const phase = (name: string, { tokens, rows, bytes, wait_ms }: PhaseMatrices): string[] => [
    matrixTable(`${name}: tokens`, tokens),
    matrixTable(`${name}: rows`, rows),
    matrixTable(`${name}: bytes`, bytes),
    matrixTable(`${name}: ms that the destination waited for the source`, wait_ms, 3),
  ];
  const all = [
    matrixTable('choices of experts', selections),
    ...phase('dispatch', dispatch),
    ...phase('combine', combine),
  ];
  return [title, ...all].join('\n\n');
}

/** Plain numbers: rows are sources, columns destinations. */
export function matrixTable(name: string, matrix: Matrix, digits = 0): string {
  return table([
    [name, ...matrix.map((_, rank) => `to ${rank}`)],
    ...matrix.map((row, rank) => [`from ${rank}`, ...row.map((value) => value.toFixed(digits))]),
  ]);
}

const SPEED = ['wire GB/s', 'raw TCP', 'of raw', 'at best', 'tuned TCP', 'of tuned'];

const speeds = (row: PhaseFigures): string[] => [
  row.wire_gb_per_s.toFixed(3),
  row.raw_tcp_gb_per_s.toFixed(3),
  row.fraction_of_raw_tcp.toFixed(2),
  row.fraction_of_raw_tcp_at_best.toFixed(2),
  row.tuned_tcp_gb_per_s.toFixed(3),
  row.fraction_of_tuned_tcp.toFixed(2),
];

const times = (row: PhaseFigures): string[] => [
  row.p50_us.toFixed(0),
  row.p99_us === null ? '-' : row.p99_us.toFixed(0),
];

function transportOf(
  row:
    | Pick<BackToBackRow, 'transport' | 'io_thread' | 'link_mbit'>
    | Pick<DispatchRow, 'transport' | 'io_thread' | 'link_mbit'>,
): string {
  const limit = row.link_mbit === null ? '' : ` ${row.link_mbit} Mbit/s`;
  return `${row.transport}${row.io_thread ? ' + io thread' : ''}${limit}`;
}
