/** The options of `expertwire bench serve`, checked. */
import { UsageError } from '../../lib/commands/base/context.js';
import { checkPlotFile } from '../../lib/commands/base/plot_file.js';
import { list, MAX_TIMEOUT_S, seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import type { DatasetChoice } from './datasets/make_dataset.js';
import { METRICS, type Metric, type Targets } from './figures/figures.js';
import type { ArrivalOptions } from './load/arrivals.js';
import type { Endpoint } from './load/endpoint.js';
import { FIRST_TOKEN } from './load/prompt_maker.js';
import { givenOptions, type GivenOptions } from './option_list.js';

/** What is asked of whom, how, and what is told of it. */
export interface ServeOptions {
  readonly url: URL;
  readonly model: string | undefined;
  readonly endpoint: Endpoint;
  readonly dataset: DatasetChoice;
  /** As they are given; undefined: what suits endpoint and server. */
  readonly prompts: 'tokens' | 'text' | undefined;
  readonly vocabSize: number;
  readonly arrivals: ArrivalOptions;
  /** A trace's own times hold unless a rate was given. */
  readonly isRateGiven: boolean;
  /** Infinity: no limit. */
  readonly maxConcurrency: number;
  readonly numPrompts: number;
  readonly numWarmups: number;
  readonly timeoutMs: number;
  readonly seed: number;
  readonly temperature: number;
  readonly ignoreEos: boolean;
  readonly extraBody: Readonly<Record<string, unknown>>;
  readonly metrics: readonly Metric[];
  readonly percentiles: readonly number[];
  /** Null without --goodput. */
  readonly targets: Targets | null;
  readonly blockSize: number;
  readonly json: string | undefined;
  readonly detailed: boolean;
  readonly plot: string | undefined;
}

/** Reads and checks the arguments. @throws UsageError for what can't be asked */
export function parseOptions(args: readonly string[]): ServeOptions {
  const given = givenOptions(args);
  checkNumbers(given);
  checkPlotFile(given.plot);
  if (given.detailed && given.json === undefined) throw new UsageError('--detailed adds to --json FILE; give that too');
  if (given.prompts === 'tokens' && given.endpoint === 'chat')
    throw new UsageError('--prompts tokens: a chat takes text alone; give --endpoint completions');
  return {
    url: urlOf(given.url),
    model: given.model,
    endpoint: given.endpoint,
    dataset: datasetOf(given),
    prompts: given.prompts,
    vocabSize: given.vocabSize,
    arrivals: { requestRate: given.requestRate, burstiness: given.burstiness, seed: given.seed },
    isRateGiven: args.some((arg) => arg.startsWith('--request-rate') || arg.startsWith('--requestRate')),
    maxConcurrency: given.maxConcurrency ?? Infinity,
    ...{ numPrompts: given.numPrompts, numWarmups: given.numWarmups, seed: given.seed },
    timeoutMs: given.timeoutS * 1000,
    temperature: given.temperature,
    ignoreEos: given.ignoreEos ?? given.dataset !== 'file',
    extraBody: objectOf(given.extraBody),
    metrics: metricsOf(given.percentileMetrics),
    percentiles: percentilesOf(given.metricPercentiles),
    targets: targetsOf(given.goodput),
    blockSize: given.blockSize,
    ...{ json: given.json, detailed: given.detailed, plot: given.plot },
  };
}

function checkNumbers(given: GivenOptions): void {
  const counts = {
    'max-concurrency': given.maxConcurrency,
    'num-prompts': given.numPrompts,
    'input-len': given.inputLen,
    'output-len': given.outputLen,
    'num-prefixes': given.numPrefixes,
    'prefix-len': given.prefixLen,
    'num-turns': given.numTurns,
    'block-size': given.blockSize,
  };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--num-warmups', given.numWarmups, 0);
  wholeNumber('--vocab-size', given.vocabSize, FIRST_TOKEN + 1);
  seedNumber('--seed', given.seed);
  check('--request-rate', given.requestRate, given.requestRate > 0, 'a number over 0, or inf');
  check('--burstiness', given.burstiness, given.burstiness >= 0.01, 'a number from 0.01, or inf');
  check('--scale', given.scale, isPositive(given.scale), 'a number over 0');
  check('--time-scale', given.timeScale, isPositive(given.timeScale), 'a number over 0');
  check('--temperature', given.temperature, given.temperature >= 0, 'a number from 0');
  check('--think-ms', given.thinkMs, given.thinkMs >= 0 && given.thinkMs < 2 ** 31, 'milliseconds from 0');
  check('--range-ratio', given.rangeRatio, given.rangeRatio >= 0 && given.rangeRatio < 1, 'a number from 0 to below 1');
  const isTimeout = isPositive(given.timeoutS) && given.timeoutS <= MAX_TIMEOUT_S;
  check('--timeout-s', given.timeoutS, isTimeout, `seconds over 0, up to ${MAX_TIMEOUT_S}`);
}

const isPositive = (value: number): boolean => value > 0 && Number.isFinite(value);

function check(name: string, value: number, isValid: boolean, allowed: string): void {
  if (!isValid) throw new UsageError(`${name} is ${value}; give ${allowed}`);
}

/** Without the /v1 that other clients want at the end. */
function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '')
    throw new UsageError(`--url ${text} is no address of a server; give one like http://127.0.0.1:8000`);
  return new URL(url.href.replace(/\/+$/, '').replace(/\/v1$/, ''));
}

function datasetOf(given: GivenOptions): DatasetChoice {
  const { dataset: kind, inputLen, outputLen, rangeRatio, endpoint } = given;
  switch (kind) {
    case 'random':
      return { kind, inputLen, outputLen, rangeRatio };
    case 'prefix': {
      const { numPrefixes, prefixLen } = given;
      return { kind, numPrefixes, prefixLen, suffixLen: inputLen, outputLen, rangeRatio };
    }
    case 'turns':
      return { kind, numTurns: given.numTurns, inputLen, outputLen, rangeRatio, thinkMs: given.thinkMs };
    case 'file':
      return { kind, file: fileOf(given), endpoint, outputLen };
    case 'trace':
      return { kind, file: fileOf(given), scale: given.scale, timeScale: given.timeScale };
  }
}

function fileOf({ dataset, file }: GivenOptions): string {
  if (file !== undefined) return file;
  throw new UsageError(`--dataset ${dataset} reads a file; give --file PATH`);
}

function objectOf(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // told below
  }
  throw new UsageError(`--extra-body ${text} is no JSON object; give one like {"priority": 1}`);
}

function metricsOf(text: string): Metric[] {
  return list(text).map((name) => {
    const metric = METRICS.find((each) => each === name);
    if (metric !== undefined) return metric;
    throw new UsageError(`--percentile-metrics: there is no '${name}'; give some of ${METRICS.join(',')}`);
  });
}

function percentilesOf(text: string): number[] {
  return list(text).map((part) => {
    const value = part === '' ? NaN : Number(part);
    if (value >= 0 && value <= 100) return value;
    throw new UsageError(`--metric-percentiles: '${part}' is no number from 0 to 100; give a list like 50,99`);
  });
}

function targetsOf(given: readonly string[] | undefined): Targets | null {
  if (given === undefined) return null;
  const pairs = given.map((text) => {
    const [, name, ms] = /^(ttft|tpot|e2el):(\d+(?:\.\d+)?)$/.exec(text) ?? [];
    if (name !== undefined) return [name, Number(ms)] as const;
    throw new UsageError(`--goodput ${text} is no target; give some of ttft:MS tpot:MS e2el:MS`);
  });
  if (pairs.length === 0) throw new UsageError('--goodput has no targets; give some of ttft:MS tpot:MS e2el:MS');
  return Object.fromEntries(pairs);
}
