/**
 * Pictures of load and balance as Vega-Lite specifications: JSON that vega.github.io/editor opens too. Pure.
 * Shape suffixes: L MoE layers, E logical experts, R ranks.
 */
import { balancednessOfSums } from '../../../experts/placement/balance.js';
import type { BalancePoint } from '../../metrics/balance_series.js';
import type { PlotSpec } from '../spec.js';
import { ALARM, SEQUENTIAL, themed } from '../theme.js';

/** The load of all ranks at one time, and its caption. */
export interface RankLoads {
  /** 'before', 'after'. */
  readonly name: string;
  /** [L][R] */
  readonly load_LR: readonly ArrayLike<number>[];
  /** Of all layers. */
  readonly balancedness: number;
}

/** What there is to draw; pictures of ranks stand side by side, in the order of `ranks`. */
export interface BalancePictures {
  readonly title: string;
  /** [L][E] */
  readonly load_LE: readonly ArrayLike<number>[];
  readonly ranks: readonly RankLoads[];
  /** Empty: no such picture. */
  readonly balanceOverTime: readonly BalancePoint[];
  /** Steps before which another placement took effect. */
  readonly rebalances: readonly number[];
}

const WIDTH = 640;
const CELL_HEIGHT = 14;
const RANK_WIDTH = 300;

/** All pictures, one below the other. */
export const balanceSpec = (pictures: BalancePictures): PlotSpec =>
  themed({
    title: pictures.title,
    vconcat: [
      expertHeatMap(pictures.load_LE),
      rankHeatMaps(pictures.ranks),
      ...(pictures.balanceOverTime.length === 0 ? [] : [balanceChart(pictures)]),
    ],
    resolve: { scale: { color: 'independent', x: 'independent', y: 'independent' } },
  });

const expertHeatMap = (load_LE: readonly ArrayLike<number>[]): PlotSpec => ({
  ...heatMap('load of each expert / mean of its layer', 'expert', load_LE),
  width: WIDTH,
});

const rankHeatMaps = (ranks: readonly RankLoads[]): PlotSpec => ({
  hconcat: ranks.map(({ name, load_LR, balancedness }) => ({
    ...heatMap(`rank load ${name}: balancedness ${balancedness.toFixed(3)}`, 'rank', load_LR),
    width: RANK_WIDTH,
  })),
  resolve: { scale: { color: 'shared' } }, // so that before and after compare
});

/** One cell per layer and column; what is shown is a multiple of the layer's mean, which makes layers comparable. */
function heatMap(title: string, column: string, load_LC: readonly ArrayLike<number>[]): PlotSpec {
  const values = load_LC.flatMap((load_C, layer) => {
    const mean = Array.from(load_C).reduce((a, b) => a + b, 0) / load_C.length;
    return Array.from(load_C, (load, i) => ({ layer, [column]: i, load, relative: mean === 0 ? 0 : load / mean }));
  });
  return {
    title,
    data: { values },
    height: CELL_HEIGHT * load_LC.length,
    mark: 'rect',
    encoding: {
      x: { field: column, type: 'ordinal', axis: { title: column, labelAngle: 0 } },
      y: { field: 'layer', type: 'ordinal', axis: { title: 'MoE layer' } },
      color: { field: 'relative', type: 'quantitative', scale: { ...SEQUENTIAL, domainMin: 0 }, title: 'load / mean' },
    },
  };
}

function balanceChart({ balanceOverTime, rebalances }: BalancePictures): PlotSpec {
  const values = balanceOverTime.map((point) => ({ step: point.step, balancedness: balancednessOfSums(point) }));
  const x = { field: 'step', type: 'quantitative', axis: { title: 'step' }, scale: { zero: false, nice: false } };
  const line = {
    data: { values },
    mark: { type: 'line', point: values.length < 64 },
    encoding: {
      x,
      y: {
        field: 'balancedness',
        type: 'quantitative',
        scale: { domain: [0, 1] },
        axis: { title: 'mean / max rank load' },
      },
    },
  };
  const marks = {
    data: { values: rebalances.map((step) => ({ step })) },
    mark: { type: 'rule', strokeDash: [4, 3], color: ALARM },
    encoding: { x },
  };
  const count = `${rebalances.length} ${rebalances.length === 1 ? 'rebalance' : 'rebalances'}`;
  return {
    title: `balancedness over time (1 = perfect), ${count}`,
    width: WIDTH,
    height: 180,
    layer: rebalances.length === 0 ? [line] : [line, marks],
  };
}
