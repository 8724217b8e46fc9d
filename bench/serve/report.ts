/** What `bench serve` prints for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Distribution } from './figures/distribution.js';
import type { Metric, ServeFigures, Targets } from './figures/figures.js';
import { FORMULAE } from './formulae.js';
import type { ServeOptions } from './options.js';
import type { ServeResult } from './result.js';

/** Machine, load, figures, failures, and what is to be said of the client. */
export function report(result: ServeResult, options: ServeOptions): string {
  const { machine, figures, model, notes } = result;
  const { cpu, cores, memory, node } = machine;
  const { ttft, tpot, itl, e2el } = FORMULAE;
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${options.seed}`,
    `${model} at ${options.url.href.replace(/\/$/, '')}, ${options.endpoint}`,
    ...notes,
    ...Object.entries({ ttft, tpot, itl, e2el }).map(([name, formula]) => `  ${name} = ${formula}`),
    '',
    table(countRows(figures, options.targets)),
    '',
    latencyTable(figures, options),
    ...cachedLines(result, options.blockSize),
    ...failureLines(figures),
    ...clientLines(result),
  ].join('\n')}\n`;
}

function countRows(figures: ServeFigures, targets: Targets | null): [string, string][] {
  const told = Object.entries(targets ?? {}).map(([name, ms]) => `${name} ≤ ${ms} ms`);
  const rows: [string, string][] = [
    ['requests completed', String(figures.numCompleted)],
    ['requests failed', String(figures.numFailed)],
    ['duration', `${(figures.durationMs / 1000).toFixed(2)} s`],
    ['input tokens', String(figures.inputTokens)],
    ['output tokens', String(figures.outputTokens)],
    ['requests/s', figures.requestThroughput.toFixed(2)],
    ['output tokens/s', figures.outputThroughput.toFixed(1)],
    ...(figures.durationMs < SHORT_MS ? [] : [bestSecond(figures)]),
    ['all tokens/s', figures.totalThroughput.toFixed(1)],
    ['peak concurrency', String(figures.peakConcurrency)],
  ];
  if (figures.requestGoodput !== null) {
    rows.push([
      `goodput/s (${told.join(', ')})`,
      `${figures.requestGoodput.toFixed(2)} (${figures.numGood!} requests)`,
    ]);
  }
  return rows;
}

/** In a run of a second or two the best second says nothing. */
const SHORT_MS = 3000;

const bestSecond = ({ peakOutputThroughput }: ServeFigures): [string, string] => [
  '  in the best second',
  peakOutputThroughput.toFixed(1),
];

function latencyTable({ latencies }: ServeFigures, { metrics, percentiles }: ServeOptions): string {
  const head = ['ms', 'mean', 'median', ...percentiles.map((percent) => `p${percent}`), 'max'];
  return table([head, ...metrics.map((metric) => latencyRow(metric, latencies[metric], percentiles.length))]);
}

function latencyRow(metric: Metric, distribution: Distribution | null, numPercentiles: number): string[] {
  if (distribution === null) return [metric, ...new Array<string>(numPercentiles + 3).fill('-')];
  const { mean, median, percentiles, max } = distribution;
  return [metric, ...[mean, median, ...percentiles.map(([, value]) => value), max].map((ms) => ms.toFixed(2))];
}

function cachedLines({ cached: { measured, ideal } }: ServeResult, blockSize: number): string[] {
  const percent = (count: number, of: number): string => (of === 0 ? '-' : `${((100 * count) / of).toFixed(2)} %`);
  const lines: string[] = [];
  if (measured !== null)
    lines.push(
      `cached: ${percent(measured.cachedTokens, measured.promptTokens)} of ${measured.promptTokens} prompt tokens`,
    );
  if (ideal !== null) {
    const { ofPrompts, ofAnswers, promptTokens } = ideal;
    lines.push(
      `ideal:  ${percent(ofPrompts, promptTokens)} from earlier prompts, ${percent(ofAnswers, promptTokens)} from answers too, in full blocks of ${blockSize} tokens`,
    );
  }
  if (measured !== null && ideal !== null && isWarm(measured, ideal)) {
    lines.push(
      'the server had some of these prompts from an earlier load: restart it, POST /reset_prefix_cache, or give another --seed',
    );
  }
  return lines.length === 0 ? [] : ['', ...lines];
}

/** More was cached than this load itself can have left there. */
function isWarm(measured: NonNullable<Cached['measured']>, ideal: NonNullable<Cached['ideal']>): boolean {
  const part = measured.cachedTokens / Math.max(1, measured.promptTokens);
  return part > Math.max(ideal.ofPrompts, ideal.ofAnswers) / Math.max(1, ideal.promptTokens) + 0.01;
}

type Cached = ServeResult['cached'];

/** Of failures that are told. */
const MAX_FAILURES = 10;

function failureLines({ failures }: ServeFigures): string[] {
  if (failures.length === 0) return [];
  const lines = failures.slice(0, MAX_FAILURES).map(({ kind, reason, count }) => `  ${count} × ${kind}: ${reason}`);
  const more = failures.length - lines.length;
  return [
    '',
    'failed requests, which no other figure counts:',
    ...lines,
    ...(more > 0 ? [`  and ${more} other reasons`] : []),
  ];
}

function clientLines({ client, figures }: ServeResult): string[] {
  const { sendDelayMs, loopDelay, isLate } = client;
  const sent =
    sendDelayMs === null
      ? '-'
      : `p99 ${sendDelayMs.percentiles[0]![1].toFixed(2)} ms, max ${sendDelayMs.max.toFixed(2)}`;
  const lines = [
    '',
    `client: sent late by ${sent}; event loop late by p99 ${loopDelay.p99Ms.toFixed(2)} ms, max ${loopDelay.maxMs.toFixed(2)}`,
  ];
  if (isLate)
    lines.push(
      'THE CLIENT WAS LATE ITSELF: what it measured may be its own delay; run it on another machine, or with less load',
    );
  if (figures.numCountedByChunks > 0)
    lines.push(`${figures.numCountedByChunks} answers came without usage: their tokens are counted by chunks`);
  return lines;
}
