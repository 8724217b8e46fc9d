/** A plan as `--dry-run` shows it. Pure. */
import { printable, printableLines } from '../../../base/foreign_text.js';
import { table } from '../../metrics/charts.js';
import type { ExperimentPlan, PlotSettings } from '../base/experiment.js';
import type { Json, PlannedRun } from '../base/run.js';
import type { RunnerKind } from '../base/runner.js';
import { isMeasure, MEASURES } from '../measures/measures.js';
import { durationText, estimateOf, expectedMs, type TimedRow } from './estimate.js';
import { canonicalJson } from './run_id.js';

/** Points that are listed; a sweep may have thousands. */
const MAX_POINTS = 40;
const MAX_VALUES_CHARS = 100;
const MAX_LINE_CHARS = 100;

/** What is to be run, in which order, and how long it takes. `rows`: of runs that are done already. */
export function planText(plan: ExperimentPlan, rows: readonly TimedRow[]): string {
  const { experiment } = plan;
  const description = experiment.description.trim();
  const parts = [
    [headline(plan), ...(description === '' ? [] : [printableLines(description, 2000)])].join('\n'),
    table(leftAligned(facts(plan))),
    pointsText(plan, rows),
    timeText(plan, rows),
  ];
  return `${parts.join('\n\n')}\n`;
}

function headline({ experiment, runs }: ExperimentPlan): string {
  const numPoints = new Set(runs.map(({ point }) => canonicalJson(point))).size;
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  const repeats = new Set(runs.map(({ repeat }) => repeat)).size;
  const counts = [counted(numPoints, 'point'), counted(seeds, 'seed'), counted(repeats, 'repeat')].join(' × ');
  return `${experiment.name}: ${counted(runs.length, 'run')} = ${counts}`;
}

const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

function facts({ experiment, runs, runner }: ExperimentPlan): readonly (readonly [string, string])[] {
  const { axes, metrics, baseline, plots, timeoutMs, parallel } = experiment;
  const kinds = [...new Set(runs.map(({ measure }) => measure.kind))];
  const seeds = [...new Set(runs.map(({ seed }) => seed))];
  const models = [...new Set(runs.map(({ config }) => config.model))];
  const { warmup = 0 } = runs[0] ?? {};
  const passes = warmup === 0 ? 'one pass' : `${warmup} of ${warmup + 1} passes to warm up`;
  const atATime = parallel === 1 ? 'one after the other' : `${parallel} at a time`;
  return [
    ...named(
      'measure',
      kinds.map((kind) => `${kind}: ${isMeasure(kind) ? MEASURES[kind].describe : ''}`),
    ),
    ...named(
      'model',
      models.map((model) => printable(model)),
    ),
    ...named(
      'swept',
      axes.map(({ key, values }) => `${printable(key)}: ${valuesText(values)}`),
    ),
    ['seeds', seeds.join(', ')],
    ...named('compared with', baseline === null ? [] : [pairsText(baseline)]),
    [
      'runs',
      `${PLACES[runner.kind]}, ${atATime}, ${passes} each, ${durationText(timeoutMs)} at most; every other round goes backwards`,
    ],
    ...named(
      'metrics',
      wrapped(Object.entries(metrics).map(([name, { unit }]) => (unit === '' ? name : `${name} (${unit})`))),
    ),
    ...named('plots', plots.map(plotText)),
  ];
}

const PLACES: Readonly<Record<RunnerKind, string>> = {
  local: 'on this machine',
  slurm: 'as jobs of Slurm',
  kubernetes: 'as jobs of Kubernetes',
  nats: 'by workers of a bus',
};

/** The first line of several has the name. */
const named = (name: string, lines: readonly string[]): readonly (readonly [string, string])[] =>
  lines.map((line, i) => [i === 0 ? name : '', line]);

const pairsText = (values: Readonly<Record<string, Json>>): string =>
  Object.entries(values)
    .map(([key, value]) => `${printable(key)} ${jsonText(value)}`)
    .join(', ');

const valuesText = (values: readonly Json[]): string => printable(values.map(jsonText).join(', '), MAX_VALUES_CHARS);

/** Texts without quotes. */
const jsonText = (value: Json): string => printable(typeof value === 'string' ? value : JSON.stringify(value), 40);

function plotText({ title, mark, x, y, color, facet, ratio }: PlotSettings): string {
  const parts = [
    ...(title === null ? [] : [`${title}:`]),
    ...(mark === 'auto' ? [] : [mark]),
    `${y}${ratio ? ' as a multiple of the baseline’s' : ''} over ${x}`,
    ...(color === null ? [] : [`by ${color}`]),
    ...(facet === null ? [] : [`a picture for each ${facet}`]),
  ];
  return printable(parts.join(' '), MAX_LINE_CHARS);
}

/** Words in lines that a terminal has room for. */
function wrapped(words: readonly string[]): readonly string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 2 <= MAX_LINE_CHARS)
      lines[lines.length - 1] = `${last}, ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Points in the order of a round, with runs that are done and the time of one. */
function pointsText({ experiment, runs }: ExperimentPlan, rows: readonly TimedRow[]): string {
  const keys = experiment.axes.map(({ key }) => key);
  const done = new Set(rows.map(({ id }) => id));
  const expected = expectedMs(rows);
  const points = new Map<string, readonly PlannedRun[]>();
  for (const run of runs) {
    const name = canonicalJson(run.point);
    points.set(name, [...(points.get(name) ?? []), run]);
  }
  const lines = [...points.values()].slice(0, MAX_POINTS).map((own, i) => {
    const ms = expected(own[0]!);
    const numDone = own.filter(({ id }) => done.has(id)).length;
    const values = keys.map((key) => jsonText(own[0]!.point[key]!));
    return [`${i + 1}`, ...values, `${numDone} of ${own.length}`, ms === null ? '?' : durationText(ms)];
  });
  const more = points.size > MAX_POINTS ? `\n… and ${counted(points.size - MAX_POINTS, 'more point')}` : '';
  return `${table([['point', ...keys.map((key) => printable(key)), 'done', 'a run takes'], ...lines])}${more}`;
}

function timeText(plan: ExperimentPlan, rows: readonly TimedRow[]): string {
  const { numRuns, numLeft, leftMs, isBound } = estimateOf(plan, rows);
  const failed = failedText(plan, rows);
  if (numLeft === 0) return `All ${numRuns} runs are done${failed}.`;
  const what = `${counted(numLeft, 'run')} of ${numRuns} to do${failed}`;
  if (isBound) return `${what}: ${durationText(leftMs)} at most, by the time limit; a first run tells more.`;
  return `${what}: about ${durationText(leftMs)}, as runs took so far.`;
}

/** Of runs that are kept. */
function failedText({ runs }: ExperimentPlan, rows: readonly TimedRow[]): string {
  const ids = new Set(runs.map(({ id }) => id));
  const numFailed = rows.filter(({ id, status }) => ids.has(id) && status !== 'ok').length;
  return numFailed === 0 ? '' : `, ${numFailed} failed (--retry-failed does ${numFailed === 1 ? 'it' : 'them'} again)`;
}

/** `table` aligns all but the first column to the right. */
function leftAligned(rows: readonly (readonly [string, string])[]): readonly (readonly [string])[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => [`${name.padEnd(width)}  ${text}`]);
}
