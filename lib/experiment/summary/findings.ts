/** What a reader of results has to know before he trusts them. Pure. Why: docs/decisions/experiments.md#counts-and-times-are-told-apart */
import { printable } from '../../../base/foreign_text.js';
import type { Experiment } from '../base/experiment.js';
import type { Point, ResultRow } from '../base/run.js';
import { lastRows, pointsOf } from './summarize.js';

/** A sentence for a report. */
export interface Finding {
  /** failed: runs that came to no result; differs: what should be the same isn't; mixed: rows that weren't measured under the same conditions. */
  readonly kind: 'failed' | 'differs' | 'mixed';
  readonly text: string;
}

/** The point as a sentence names it: 'parallel.ranks = 2, wire = bf16'; for none 'the only point'. */
export const pointText = (point: Point): string => {
  const parts = Object.entries(point).map(
    ([key, value]) => `${key} = ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return parts.length === 0 ? 'the only point' : printable(parts.join(', '));
};

/** All that there are, the gravest first. */
export const findingsOf = (
  experiment: Pick<Experiment, 'axes' | 'metrics'>,
  rows: readonly ResultRow[],
): readonly Finding[] => [...failures(rows), ...differences(experiment, rows), ...mixtures(rows)];

function failures(rows: readonly ResultRow[]): Finding[] {
  const last = lastRows(rows);
  const numFailed = last.filter(({ status }) => status !== 'ok').length;
  if (numFailed === 0) return [];
  return [
    {
      kind: 'failed',
      text: `${numFailed} of ${last.length} runs failed: what they would have measured is in no figure.`,
    },
  ];
}

/** Counts and texts that differ between runs of one point and seed: one sentence for each metric, with the first case. */
function differences({ axes, metrics }: Pick<Experiment, 'axes' | 'metrics'>, rows: readonly ResultRow[]): Finding[] {
  const exact = Object.keys(metrics).filter((name) => metrics[name]!.kind !== 'time');
  const groups = pointsOf(rows, axes).flatMap(({ point, rows: own }) =>
    [...new Set(own.map(({ seed }) => seed))].map((seed) => ({
      point,
      repeats: own.filter((row) => row.seed === seed && row.status === 'ok'),
    })),
  );
  return exact.flatMap((name): Finding[] => {
    const [first, ...others] = groups.flatMap(({ point, repeats }) => differenceOf(name, point, repeats));
    if (first === undefined) return [];
    const more = others.length === 0 ? '' : `; so it does in ${others.length} more of all points and seeds`;
    const why = 'it follows from configuration, workload and seed alone, so that something else was at work.';
    return [{ kind: 'differs', text: `${first}${more}; ${why}` }];
  });
}

/** None or one. */
function differenceOf(name: string, point: Point, repeats: readonly ResultRow[]): string[] {
  const values = [...new Set(repeats.map(({ metrics }) => metrics[name] ?? null))];
  if (values.length < 2) return [];
  const shown = printable(values.map((value) => String(value ?? 'nothing')).join(', '));
  return [
    `${name} differs between ${repeats.length} runs of seed ${repeats[0]!.seed} at ${pointText(point)}: ${shown}`,
  ];
}

/** Conditions that all rows should share. */
function mixtures(rows: readonly ResultRow[]): Finding[] {
  const conditions: Readonly<Record<string, (row: ResultRow) => string>> = {
    commits: ({ commit }) => commit ?? 'unknown',
    versions: ({ versions }) => textOf(versions),
    machines: ({ machine }) => textOf(machine),
  };
  const ok = lastRows(rows).filter(({ status }) => status === 'ok');
  return Object.entries(conditions).flatMap(([what, of]): Finding[] => {
    const found = [...new Set(ok.map(of))];
    if (found.length < 2) return [];
    return [
      {
        kind: 'mixed',
        text: `The rows are of ${found.length} ${what}: ${printable(found.join(' | '), 400)}. Times of them don't compare.`,
      },
    ];
  });
}

const textOf = (record: Readonly<Record<string, string | number>>): string =>
  Object.entries(record)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');
