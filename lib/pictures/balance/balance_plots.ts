/**
 * Pictures of load and balance as Vega-Lite specifications: JSON that vega.github.io/editor opens too. Pure.
 * Shape suffixes: L MoE layers, E logical experts, R ranks.
 */
import type { BalancePoint } from '../../metrics/balance_series.js';
import type { PlotSpec } from '../spec.js';
import { PAGE_WIDTH, themed, titled } from '../theme.js';
import { heading, highestOf, loadMap, MAP_GAP, MAP_WIDTH } from './maps.js';
import { balanceOverTime } from './over_time.js';
import { pairMaps, type PairTable } from './pair_maps.js';
import { slotMap, type SlotChange } from './slot_map.js';
import { textMaps, type TextHeat } from './text_maps.js';

/** The load of all ranks over one stretch of time, and its caption. */
export interface RankLoads {
  /** 'before', 'after'; empty for the only one. */
  readonly name: string;
  /** [L][R] */
  readonly load_LR: readonly ArrayLike<number>[];
  /** Of all layers' sums. */
  readonly balancedness: number;
}

/** What there is to draw; pictures of ranks stand side by side, in the order of `ranks`. */
export interface BalancePictures {
  readonly title: string;
  /** [L][E] */
  readonly load_LE: readonly ArrayLike<number>[];
  /** [L][E] slots of each expert; absent: one each. */
  readonly replicas_LE?: readonly ArrayLike<number>[];
  readonly ranks: readonly RankLoads[];
  /** Empty: no such picture. */
  readonly balanceOverTime: readonly BalancePoint[];
  /** Steps before which another placement took effect. */
  readonly rebalances: readonly number[];
  /** What a plan changes. */
  readonly slots?: SlotChange;
  /** Between ranks, over the whole run. */
  readonly pairs?: readonly PairTable[];
  readonly texts?: readonly TextHeat[];
}

/** All pictures, one below the other. */
export function balanceSpec(pictures: BalancePictures): PlotSpec {
  const { balanceOverTime: points, rebalances, slots, pairs = [], texts = [] } = pictures;
  return themed({
    title: titled(pictures.title, '', PAGE_WIDTH),
    vconcat: [
      expertMap(pictures),
      rankMaps(pictures.ranks),
      ...(slots === undefined ? [] : [slotMap(slots)]),
      ...(points.length === 0 ? [] : [balanceOverTime(points, rebalances)]),
      ...(pairs.length === 0 ? [] : [pairMaps(pairs)]),
      ...(texts.length === 0 ? [] : [textMaps(texts)]),
    ],
    spacing: 18,
    resolve: { scale: { color: 'independent', x: 'independent', y: 'independent' } },
  });
}

function expertMap({ load_LE, replicas_LE }: BalancePictures): PlotSpec {
  const numExperts = Math.max(...load_LE.map(({ length }) => length));
  const hasRoom = MAP_WIDTH / numExperts >= 12;
  const isReplicated = replicas_LE?.some((counts_E) => Array.from(counts_E).some((count) => count > 1)) ?? false;
  const copies = isReplicated && hasRoom ? ' ×2, ×3: replicas after.' : '';
  const markOf = (layer: number, expert: number): string => {
    const count = replicas_LE![layer]![expert]!;
    return count > 1 && hasRoom ? `×${count}` : '';
  };
  return loadMap({
    title: heading(
      'Load of each expert, in total',
      `All choices of the expert in all steps, as a multiple of the layer's mean: white is even.${copies}`,
    ),
    ...{ column: 'expert', row: 'layer', names: load_LE.map((_, layer) => layer), loads: load_LE },
    ...{ width: MAP_WIDTH, highest: highestOf(load_LE), ...(isReplicated ? { markOf } : {}) },
  });
}

/** What the axis of a map takes on its left. */
const AXIS_WIDTH = 40;

function rankMaps(ranks: readonly RankLoads[]): PlotSpec {
  const width = (MAP_WIDTH - (ranks.length - 1) * (MAP_GAP + AXIS_WIDTH)) / ranks.length;
  const highest = Math.max(...ranks.map(({ load_LR }) => highestOf(load_LR)));
  const maps = ranks.map(({ name, load_LR, balancedness }) =>
    loadMap({
      title: heading(
        `Load of each rank, in total${name === '' ? '' : `, ${name}`}`,
        captionOf(balancedness, ranks.length === 1),
        ranks.length === 1 ? MAP_WIDTH + 60 : width,
      ),
      ...{ column: 'rank', row: 'layer', names: load_LR.map((_, layer) => layer), loads: load_LR, width, highest },
    }),
  );
  return { hconcat: maps, spacing: MAP_GAP, resolve: { scale: { color: 'shared' } } }; // so that before and after compare
}

const captionOf = (balancedness: number, isAlone: boolean): string =>
  `Sums over all steps; balancedness of the sums ${balancedness.toFixed(3)} (mean / max rank, 1: even).${isAlone ? ' Uneven steps can even out in a sum.' : ''}`;
