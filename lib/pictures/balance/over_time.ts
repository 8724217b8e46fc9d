/** Balancedness step by step. Pure. Why: docs/decisions/pictures.md#a-total-and-a-step-are-two-numbers */
import { balancednessOfSums, type BalanceSums } from '../../../experts/placement/balance.js';
import type { BalancePoint } from '../../metrics/balance_series.js';
import type { PlotSpec } from '../spec.js';
import { figure } from '../figure.js';
import { ALARM, CATEGORIES } from '../theme.js';
import { heading, MAP_WIDTH } from './maps.js';

/** Of the whole series, the window of a rolling mean is such a part. */
const WINDOW_SHARE = 1 / 20;

/** Σ mean / Σ max over the points: what of the ranks' time was of use, where all wait for the busiest in each step. */
export const meanOfSteps = (points: readonly BalancePoint[]): number => balancednessOfSums(sumOf(points));

const sumOf = (points: readonly BalanceSums[]): BalanceSums =>
  points.reduce<BalanceSums>(
    (sum, { meanLoad, maxLoad }) => ({ meanLoad: sum.meanLoad + meanLoad, maxLoad: sum.maxLoad + maxLoad }),
    { meanLoad: 0, maxLoad: 0 },
  );

/** For each point {@link meanOfSteps} of those around it: `width` in all, fewer at the ends. */
export function rollingMean(points: readonly BalancePoint[], width: number): number[] {
  const half = Math.floor(width / 2);
  return points.map((_, i) => meanOfSteps(points.slice(Math.max(0, i - half), i - half + width)));
}

/** Stretches of steps with tokens of prompts among them, from the first step to behind the last. */
export function promptPhases(points: readonly BalancePoint[]): { from: number; to: number }[] {
  const phases: { from: number; to: number }[] = [];
  for (const { step, numSteps, numPromptTokens = 0 } of points) {
    if (numPromptTokens === 0) continue;
    const last = phases.at(-1);
    if (last?.to === step) last.to = step + numSteps;
    else phases.push({ from: step, to: step + numSteps });
  }
  return phases;
}

/** Each step, the rolling mean, where prompts were computed, and where experts moved. */
export function balanceOverTime(points: readonly BalancePoint[], rebalances: readonly number[]): PlotSpec {
  const width = Math.max(3, Math.round(points.length * WINDOW_SHARE));
  const rolling = rollingMean(points, width);
  const values = points.map((point, i) => ({
    ...{ step: point.step, balancedness: balancednessOfSums(point), rolling: rolling[i]! },
    say: sayOf(point, rolling[i]!),
  }));
  const phases = promptPhases(points);
  const stepsPerPoint = Math.max(...points.map(({ numSteps }) => numSteps));
  const each = stepsPerPoint === 1 ? 'Thin: each step' : `Thin: ${stepsPerPoint} steps each`;
  const caption = [
    `Mean / max rank load of the same step, over all MoE layers; all steps together ${figure(Number(meanOfSteps(points).toFixed(3)))}: Σ mean / Σ max, what waiting for the busiest rank leaves.`,
    `${each}; thick: mean over ${width * stepsPerPoint} steps.`,
    phases.length === 0 ? '' : 'Grey: steps with tokens of prompts.',
    rebalances.length === 0 ? '' : `Dashed: experts had moved before this step (${rebalances.length} ×).`,
  ];
  return {
    title: heading('Balancedness of each step', caption.filter((text) => text !== '').join(' ')),
    ...{ width: MAP_WIDTH, height: 150, data: { values } },
    layer: [...bands(phases), ...lines(values.length), ...rules(rebalances)],
  };
}

function sayOf(point: BalancePoint, rolling: number): string {
  const { step, numSteps, numPromptTokens = 0 } = point;
  return [
    `step: ${numSteps === 1 ? step : `${step} to ${step + numSteps - 1}`}`,
    `balancedness: ${figure(balancednessOfSums(point))}`,
    `rolling mean: ${figure(rolling)}`,
    ...(numPromptTokens === 0 ? [] : [`tokens of prompts: ${figure(numPromptTokens)}`]),
  ].join('; ');
}

const X = {
  type: 'quantitative',
  axis: { title: 'step', grid: false, tickMinStep: 1 },
  scale: { zero: false, nice: false },
};

const yOf = (field: string): PlotSpec => ({
  ...{ field, type: 'quantitative', scale: { domain: [0, 1] } },
  axis: { title: 'balancedness', tickCount: 5 },
});

const bands = (phases: readonly object[]): PlotSpec[] =>
  phases.length === 0
    ? []
    : [
        {
          data: { values: phases },
          mark: { type: 'rect', color: '#e6e6e6', aria: false },
          encoding: { x: { ...X, field: 'from' }, x2: { field: 'to' } },
        },
      ];

const lines = (numPoints: number): PlotSpec[] => [
  {
    mark: { type: 'line', color: '#56b4e9', strokeWidth: 0.8, aria: false },
    encoding: { x: { ...X, field: 'step' }, y: yOf('balancedness') },
  },
  {
    mark: { type: 'line', color: CATEGORIES[0], strokeWidth: 2, aria: false },
    encoding: { x: { ...X, field: 'step' }, y: yOf('rolling') },
  },
  {
    mark: { type: 'point', color: '#56b4e9', size: numPoints < 64 ? 16 : 3, filled: true, opacity: 1 },
    encoding: { x: { ...X, field: 'step' }, y: yOf('balancedness'), description: { field: 'say' } },
  },
];

const rules = (rebalances: readonly number[]): PlotSpec[] =>
  rebalances.length === 0
    ? []
    : [
        {
          data: { values: rebalances.map((step) => ({ step, say: `rebalanced before step: ${step}` })) },
          mark: { type: 'rule', strokeDash: [4, 3], color: ALARM },
          encoding: { x: { ...X, field: 'step' }, description: { field: 'say' } },
        },
      ];
