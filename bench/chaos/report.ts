/** What `bench chaos` prints for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { FaultRow, Totals } from './figures.js';
import type { ChaosOptions } from './options.js';

/** Machine, settings, and how to read what follows. */
export function header({ cpu, cores, memory, node }: Machine, options: ChaosOptions): string {
  const { seed, model, ranks, maxRanks, redundant, onPeerLoss, timeoutMs, streams, requests, plan } = options;
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}`,
    `${model}, ${ranks} ranks of ${maxRanks} seats, ${redundant} redundant experts, on_peer_loss ${onPeerLoss}, timeout ${timeoutMs} ms`,
    `${plan.length} faults; ${streams} streams over ${requests} requests, half of them sampled, first undisturbed`,
    'stall: the longest time between two tokens of any stream; full: until each expert has as many replicas as at first',
    '',
  ].join('\n');
}

/** A line per fault. */
export function faultTable(rows: readonly FaultRow[]): string {
  const names = ['fault', 'when', 'rank', 'lost', 'noticed', 'stall', 'full', 'recomputed', 'moved', 'identical', ''];
  const lines = rows.map((row) => [
    ...[row.kind, row.when, row.victims.join('→') || '–', row.lost.join(' ') || '–'],
    ...[ms(row.noticed_ms), ms(row.stall_ms), row.recovered ? ms(row.redundancy_ms) : 'never'],
    ...[String(row.recomputed_tokens), String(row.moved_experts), `${row.identical}/${row.requests}`, row.note ?? ''],
  ]);
  return table([names, ...lines]);
}

/** Of all requests. */
export function summary(totals: Totals, rows: readonly FaultRow[]): string {
  const { requests, identical, bit_equal, degraded, failed, errors, quiet_stall_ms } = totals;
  const stalls = rows.flatMap(({ stall_ms }) => stall_ms ?? []).sort((a, b) => a - b);
  const stall = `stall: median ${ms(stalls[stalls.length >> 1] ?? null)}, longest ${ms(stalls.at(-1) ?? null)}; undisturbed ${ms(quiet_stall_ms)}`;
  const counts = `${requests} requests: ${identical} identical, ${bit_equal} to the bit of each probability, ${degraded} degraded, ${failed} failed`;
  return [counts, stall, ...errors.map((error) => `failed: ${error}`)].join('\n');
}

const ms = (value: number | null): string => (value === null ? '–' : `${Math.round(value)} ms`);
