/** Who sent what to whom: what the all-to-all of every rank counted, as [source][destination] matrices. Pure. */
import { sumOverLayers, trafficMatrices, type AllToAllStats } from '../../comm/index.js';
import type { TrafficPhase } from './base/wire.js';

/** [source][destination] */
export type Matrix = readonly (readonly number[])[];

/** What passed in one phase between each two ranks. */
export interface PhaseMatrices {
  /** Distinct tokens. */
  readonly tokens: Matrix;
  readonly rows: Matrix;
  /** Headers included; 0 to the own rank. */
  readonly bytes: Matrix;
  /** Milliseconds that the destination waited for the source. */
  readonly wait_ms: Matrix;
}

/** The matrices of dispatch and of combine. */
export type Traffic = Readonly<Record<TrafficPhase, PhaseMatrices>>;

/** Of one dispatch and combine; waits are means over the repeats. */
export interface Matrices extends Traffic {
  /** Choices by the rank where their expert lives. */
  readonly selections: Matrix;
}

/** Over all layers, of all ranks. */
export function trafficOf(stats: readonly AllToAllStats[]): Traffic {
  const matrices = trafficMatrices(stats, stats.length);
  const phase = (name: TrafficPhase): PhaseMatrices => {
    const summed = (quantity: 'tokens' | 'rows' | 'bytes' | 'waitMs'): Matrix =>
      sumOverLayers(matrices, [name], quantity);
    return { tokens: summed('tokens'), rows: summed('rows'), bytes: summed('bytes'), wait_ms: summed('waitMs') };
  };
  return { dispatch: phase('dispatch'), combine: phase('combine') };
}

/** The counts of `one` call, with the mean waits of the `numCalls` that followed it until `all` was counted. */
export function withWaits(one: Traffic, all: Traffic, numCalls: number): Traffic {
  const phase = (name: TrafficPhase): PhaseMatrices => {
    const mean = (ms: number, from: number, to: number): number => (ms - one[name].wait_ms[from]![to]!) / numCalls;
    const wait_ms = all[name].wait_ms.map((row, from) => row.map((ms, to) => mean(ms, from, to)));
    return { ...one[name], wait_ms };
  };
  return { dispatch: phase('dispatch'), combine: phase('combine') };
}

/** The entries of pairs of different ranks. */
export const elsewhere = (matrix: Matrix): number[] =>
  matrix.flatMap((row, from) => row.filter((_, to) => to !== from));

/** The total; 0 without values. */
export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
