/** How requests fare. */
import type { VNode } from 'preact';
import type { LivePercentiles, LiveSecond } from '../../server/live/messages.js';
import { bytesOf } from '../state/base64.js';
import type { LiveState } from '../state/live_state.js';
import { count, duration, percent, rate, share } from '../state/numbers.js';
import { Chart, type ChartLine } from './chart.js';

const THROUGHPUT: readonly ChartLine<LiveSecond>[] = [
  { name: 'output', color: '--line-a', of: ({ numOutputTokens }) => numOutputTokens, isArea: true },
  { name: 'prompts', color: '--line-b', of: ({ numPromptTokens }) => numPromptTokens, dash: [6, 3] },
];
const REQUESTS: readonly ChartLine<LiveSecond>[] = [
  { name: 'running', color: '--line-a', of: ({ numRunning }) => numRunning, isArea: true },
  { name: 'waiting', color: '--line-b', of: ({ numWaiting }) => numWaiting, dash: [6, 3] },
];
const KV: readonly ChartLine<LiveSecond>[] = [
  { name: 'fullest rank', color: '--line-a', of: ({ kvUse_R }) => extreme(kvUse_R, Math.max), isArea: true },
  { name: 'emptiest', color: '--line-b', of: ({ kvUse_R }) => extreme(kvUse_R, Math.min), dash: [6, 3] },
];
const TTFT = percentileLines(({ ttftMs }) => ttftMs);
const ITL = percentileLines(({ itlMs }) => itlMs);

interface ServingProps {
  readonly state: LiveState;
  readonly isDark: boolean;
  /** The index of the MoE layer that is looked at. */
  readonly layer: number;
}

/** Charts of throughput, latencies, requests, KV blocks and the balance of ranks. */
export function Serving({ state, isDark, layer }: ServingProps): VNode {
  const { seconds, model } = state;
  const shared = { seconds, isDark };
  return (
    <section id="serving" aria-labelledby="serving-title">
      <h2 id="serving-title">Serving</h2>
      <div class="charts">
        <Chart title="Tokens per second" lines={THROUGHPUT} format={rate} max={1} {...shared} />
        <Chart title="Time to first token" lines={TTFT} format={duration} max={1} {...shared} />
        <Chart title="Time between tokens" lines={ITL} format={duration} max={1} {...shared} />
        <Chart title="Requests" lines={REQUESTS} format={count} max={4} {...shared} />
        <Chart title="KV blocks in use" lines={KV} format={percent} max={1} {...shared} />
        <Chart
          title="Balance of ranks"
          lines={balanceLines(layer, model.moeLayers[layer]!)}
          format={share}
          max={1}
          {...shared}
        />
      </div>
    </section>
  );
}

function balanceLines(layer: number, name: number): readonly ChartLine<LiveSecond>[] {
  return [
    { name: 'all layers', color: '--line-a', of: ({ balance }) => balance },
    { name: `layer ${name}`, color: '--line-b', of: (second) => layerBalance(second, layer), dash: [6, 3] },
  ];
}

/** Null where nothing was computed in it. */
function layerBalance({ layerBalanceBase64 }: LiveSecond, layer: number): number | null {
  const byte = layerBalanceBase64 === null ? 0 : bytesOf(layerBalanceBase64)[layer]!;
  return byte === 0 ? null : byte / 255;
}

function percentileLines(of: (second: LiveSecond) => LivePercentiles | null): readonly ChartLine<LiveSecond>[] {
  return [
    { name: 'p50', color: '--line-a', of: (second) => of(second)?.p50 ?? null },
    { name: 'p90', color: '--line-c', of: (second) => of(second)?.p90 ?? null, dash: [6, 3] },
    { name: 'p99', color: '--line-b', of: (second) => of(second)?.p99 ?? null, dash: [2, 3] },
  ];
}

function extreme(use_R: readonly (number | null)[], of: (...values: number[]) => number): number | null {
  const left = use_R.filter((use) => use !== null);
  return left.length === 0 ? null : of(...left);
}
