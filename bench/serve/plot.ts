/** Pictures of a load as a Vega-Lite specification: how latencies are distributed, and what happened when. Pure. */
import type { PlotSpec } from '../../lib/pictures/spec.js';
import { CATEGORIES, themed } from '../../lib/pictures/theme.js';
import { percentile } from './figures/distribution.js';
import { latenciesOf, METRICS, type Metric } from './figures/figures.js';
import { overTime } from './figures/over_time.js';
import { isCompleted, type RequestRecord } from './figures/record.js';
import type { ServeResult } from './result.js';

/** As wide as a page of print in all. */
const WIDTH = 600;
const SMALL = 262;
/** Points of a line, and requests of the timeline: as many as one sees. */
const MAX_POINTS = 200;
const MAX_REQUESTS = 400;

const INDEPENDENT = { color: 'independent', strokeDash: 'independent', x: 'independent', y: 'independent' };

/** All pictures, one below the other. */
export const serveSpec = (title: string, { records, figures }: ServeResult): PlotSpec =>
  themed({
    title,
    vconcat: [
      {
        hconcat: [distribution(records, ['ttft', 'e2el']), distribution(records, ['tpot', 'itl'])],
        resolve: { scale: INDEPENDENT },
      },
      timeline(records),
      {
        hconcat: [
          line(records, figures.durationMs, 'numRunning', 'Requests in flight'),
          line(records, figures.durationMs, 'tokensPerS', 'Output tokens/s, in each hundredth of the time'),
        ],
      },
    ],
    resolve: { scale: INDEPENDENT },
  });

/** Over the left edge of what it stands for. */
const titleOf = (text: string): PlotSpec => ({ text, frame: 'group', offset: 6 });

const BELOW = { orient: 'bottom' };

function distribution(records: readonly RequestRecord[], metrics: readonly Metric[]): PlotSpec {
  const latencies = latenciesOf(records.filter(isCompleted));
  const values = METRICS.filter((metric) => metrics.includes(metric)).flatMap((metric) => {
    const sorted = [...latencies[metric]].sort((a, b) => a - b);
    if (sorted.length === 0) return [];
    return Array.from({ length: MAX_POINTS + 1 }, (_, i) => {
      const share = i / MAX_POINTS;
      return { metric, ms: percentile(sorted, 100 * share), share };
    });
  });
  return {
    title: titleOf(`${metrics.map((metric) => metric.toUpperCase()).join(' and ')}: share of values up to`),
    data: { values },
    width: SMALL,
    height: 180,
    mark: { type: 'line', clip: true, aria: false },
    encoding: {
      x: { field: 'ms', type: 'quantitative', axis: { title: 'ms' } },
      y: { field: 'share', type: 'quantitative', axis: { title: null, format: '%' } },
      color: { field: 'metric', type: 'nominal', title: null, sort: [...metrics], legend: BELOW },
      strokeDash: { field: 'metric', type: 'nominal', title: null, sort: [...metrics], legend: BELOW },
    },
  };
}

/** A bar per request: until its first token, and from there on. */
function timeline(records: readonly RequestRecord[]): PlotSpec {
  const every = Math.max(1, Math.ceil(records.length / MAX_REQUESTS));
  const values = records.filter((_, i) => i % every === 0).flatMap(barsOf);
  const kinds = ['until the first token', 'decoding', 'failed'];
  return {
    title: titleOf(`Requests in the order of sending${every === 1 ? '' : `, one of ${every}`}`),
    data: { values },
    width: WIDTH,
    height: 240,
    mark: { type: 'rect' },
    encoding: {
      x: { field: 'from', type: 'quantitative', axis: { title: 's' } },
      x2: { field: 'to' },
      y: { field: 'request', type: 'quantitative', axis: { title: 'request' }, scale: { reverse: true, nice: false } },
      y2: { field: 'below' },
      description: { field: 'say' },
      color: {
        field: 'kind',
        type: 'nominal',
        title: null,
        scale: { domain: kinds, range: [CATEGORIES[4], CATEGORIES[0], CATEGORIES[6]] },
        legend: BELOW,
      },
    },
  };
}

function barsOf({ startMs, endMs, answer }: RequestRecord, request: number): object[] {
  const bar = (kind: string, from: number, to: number): object => ({
    ...{ kind, request, below: request + 0.9, from: from / 1000, to: to / 1000 },
    say: `request: ${request}; ${kind}: ${(to - from).toFixed(0)} ms; from: ${(from / 1000).toFixed(2)} s`,
  });
  if (answer === null) return [bar('failed', startMs, endMs)];
  const [first, last] = [answer.chunkMs[0]!, answer.chunkMs.at(-1)!];
  return [bar('until the first token', startMs, first), bar('decoding', first, last)];
}

function line(
  records: readonly RequestRecord[],
  durationMs: number,
  field: 'numRunning' | 'tokensPerS',
  title: string,
): PlotSpec {
  const values = overTime(records, durationMs, 100).map(({ atMs, numRunning, tokensPerS }) => ({
    s: atMs / 1000,
    numRunning,
    tokensPerS,
  }));
  return {
    title: titleOf(title),
    data: { values },
    width: SMALL,
    height: 140,
    mark: { type: 'area', interpolate: 'step-after', line: true, opacity: 0.4 },
    encoding: {
      x: { field: 's', type: 'quantitative', axis: { title: 's' } },
      y: { field, type: 'quantitative', axis: { title: null } },
    },
  };
}
