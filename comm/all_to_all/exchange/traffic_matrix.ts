/** Puts what every rank counted for itself together into [source, destination] matrices: pure. */
import type { PhaseTraffic } from './exchange_stats.js';
import type { Phase } from '../../mesh/frame.js';
import type { Rank } from '../../../base/ids.js';

/** One layer and phase of a whole mesh; every matrix is indexed [source rank][destination rank]. */
export interface TrafficMatrices {
  readonly layer: number;
  readonly phase: Phase;
  readonly tokens: readonly (readonly number[])[];
  readonly rows: readonly (readonly number[])[];
  /** Frame bytes, headers included; 0 on the diagonal. */
  readonly bytes: readonly (readonly number[])[];
  /** Milliseconds that the destination waited for the source. */
  readonly waitMs: readonly (readonly number[])[];
}

/** `stats` of any ranks of one mesh of `size`; ranks that are missing leave zeros. By layer, then phase. */
export function trafficMatrices(
  stats: readonly { readonly rank: Rank; readonly traffic: readonly PhaseTraffic[] }[],
  size: number,
): TrafficMatrices[] {
  const all = new Map<
    string,
    Record<'tokens' | 'rows' | 'bytes' | 'waitMs', number[][]> & { layer: number; phase: Phase }
  >();
  for (const { rank, traffic } of stats) {
    for (const { layer, phase, tokens, rows, bytes, waitMs } of traffic) {
      const key = `${layer}/${phase}`;
      let matrices = all.get(key);
      if (matrices === undefined) {
        const zeros = (): number[][] => Array.from({ length: size }, () => new Array<number>(size).fill(0));
        all.set(key, (matrices = { layer, phase, tokens: zeros(), rows: zeros(), bytes: zeros(), waitMs: zeros() }));
      }
      matrices.tokens[rank] = [...tokens];
      matrices.rows[rank] = [...rows];
      matrices.bytes[rank] = [...bytes];
      for (const [source, ms] of waitMs.entries()) matrices.waitMs[source]![rank] = ms;
    }
  }
  return [...all.values()].sort((a, b) => a.layer - b.layer);
}

/** Entry by entry, over all layers and the phases that `phases` names. */
export function sumOverLayers(
  matrices: readonly TrafficMatrices[],
  phases: readonly Phase[],
  quantity: 'tokens' | 'rows' | 'bytes' | 'waitMs',
): number[][] {
  const chosen = matrices.filter(({ phase }) => phases.includes(phase)).map((one) => one[quantity]);
  const first = chosen[0] ?? [];
  return first.map((row, source) => row.map((_, to) => chosen.reduce((sum, one) => sum + one[source]![to]!, 0)));
}
