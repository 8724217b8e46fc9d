/** One step of all ranks as events of a trace: what every rank did, sent and computed, beside the mean of all. Pure. */
import { chromeCounters, chromeEvents, isMove, type ChromeEvent } from './chrome_trace.js';
import type { TimelineEvent } from './timeline.js';

/** What a rank tells of one step. */
export interface TracedStep {
  readonly rank: number;
  readonly events: readonly TimelineEvent[];
  /** Of the choices that this rank's tokens made, how many each rank computed, [MoE layer][rank]; null: nobody says. */
  readonly rankLoad: readonly (readonly number[])[] | null;
}

/** Of each rank that took part, in the order given. */
export function traceStep(ranks: readonly TracedStep[]): ChromeEvent[][] {
  const loads = loadsOf(ranks);
  const layers = moeLayersOf(ranks);
  return ranks.map(({ rank, events }) => {
    const own = events.flatMap((event) => {
      const moeLayer = event.name === 'experts' && event.layer !== undefined ? layers.indexOf(event.layer) : -1;
      const load = loads?.load_LR[moeLayer];
      if (load === undefined) return chromeEvents(rank, event);
      const [slice, ...rest] = chromeEvents(rank, event);
      const told = { choices_in_step: load[rank] ?? 0, load_of_mean: ofMean(load, rank, ranks) };
      return [{ ...slice!, args: { ...slice!.args, ...told } }, ...rest];
    });
    return [...own, ...counters(rank, events, loads?.sum_R ?? null, ranks)];
  });
}

function counters(
  rank: number,
  events: readonly TimelineEvent[],
  sum_R: readonly number[] | null,
  ranks: readonly TracedStep[],
): ChromeEvent[] {
  const own = events.filter((event) => !isMove(event));
  if (own.length === 0) return [];
  const bytesOf = (phase: string): number =>
    own
      .filter(({ name }) => name.startsWith(phase))
      .flatMap(({ sent = [] }) => sent)
      .reduce((sum, { bytes }) => sum + bytes, 0);
  return chromeCounters(rank, {
    startUs: own.reduce((first, { startUs }) => Math.min(first, startUs), Infinity),
    sentBytes: { dispatch: bytesOf('dispatch'), combine: bytesOf('combine') },
    load: sum_R && { choices: sum_R[rank] ?? 0, ofMean: ofMean(sum_R, rank, ranks) },
  });
}

/** Per MoE layer and rank, and over all layers; null: a rank didn't say. */
function loadsOf(ranks: readonly TracedStep[]): { load_LR: number[][]; sum_R: number[] } | null {
  const told = ranks.map(({ rankLoad }) => rankLoad);
  const [first] = told;
  if (first == null || told.includes(null)) return null;
  const added = (rows: readonly (readonly number[])[]): number[] =>
    rows[0]!.map((_, rank) => rows.reduce((sum, row) => sum + (row[rank] ?? 0), 0));
  const load_LR = first.map((_, moeLayer) => added(told.map((load) => load![moeLayer]!)));
  return { load_LR, sum_R: load_LR.length === 0 ? [] : added(load_LR) };
}

/** 1: as much as the ranks of this step on average, or nothing to compute. */
function ofMean(load_R: readonly number[], rank: number, ranks: readonly TracedStep[]): number {
  const mean = ranks.reduce((sum, each) => sum + (load_R[each.rank] ?? 0), 0) / ranks.length;
  return mean === 0 ? 1 : (load_R[rank] ?? 0) / mean;
}

/** Layers of the model that have experts, ascending: as loads count them. */
const moeLayersOf = (ranks: readonly TracedStep[]): number[] => {
  const layers = ranks.flatMap(({ events }) =>
    events.flatMap(({ name, layer }) => (name === 'experts' && layer !== undefined ? [layer] : [])),
  );
  return [...new Set(layers)].sort((a, b) => a - b);
};
