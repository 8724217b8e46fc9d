/** Which expert each slot of each rank holds after a plan, and what is new there. Pure. Shape suffixes: L MoE layers, S slots of all ranks. */
import type { PlotSpec } from '../spec.js';
import { ALARM, CATEGORIES } from '../theme.js';
import { heading, MAP_WIDTH } from './maps.js';

/** A plan against what ran before it; a slot without an expert has -1. */
export interface SlotChange {
  readonly numRanks: number;
  /** [L][S] */
  readonly before: readonly ArrayLike<number>[];
  /** [L][S] */
  readonly after: readonly ArrayLike<number>[];
}

/** What became of a slot. */
const KINDS = [
  'stays on its rank',
  'further replica, weights were there',
  'moves to this rank',
  'further replica, new on this rank',
  'empty',
] as const;
const COLORS = ['#e3e3e3', '#a9a9a9', '#f0b27a', ALARM, '#ffffff'];

/** One slot of one layer. */
export interface SlotMark {
  readonly layer: number;
  readonly slot: number;
  readonly rank: number;
  readonly expert: number;
  readonly kind: (typeof KINDS)[number];
  readonly numReplicas: number;
}

/** Of every slot. The first slot of an expert counts as the expert itself, later ones as further replicas. */
export function slotMarks({ numRanks, before, after }: SlotChange): SlotMark[] {
  return after.flatMap((slots_S, layer) => {
    const slots = Array.from(slots_S);
    const held = heldBy(before[layer]!, numRanks);
    return slots.map((expert, slot) => {
      const rank = Math.floor((slot * numRanks) / slots.length);
      const isNew = !held[rank]!.has(expert);
      held[rank]!.add(expert); // its weights come once, for all replicas on the rank
      const isFurther = slots.indexOf(expert) < slot;
      const kind = expert < 0 ? KINDS[4] : KINDS[(isNew ? 2 : 0) + (isFurther ? 1 : 0)]!;
      return { layer, slot, rank, expert, kind, numReplicas: slots.filter((each) => each === expert).length };
    });
  });
}

/** Experts by rank. */
function heldBy(slots_S: ArrayLike<number>, numRanks: number): Set<number>[] {
  const held = Array.from({ length: numRanks }, () => new Set<number>());
  Array.from(slots_S, (expert, slot) => held[Math.floor((slot * numRanks) / slots_S.length)]!.add(expert));
  return held;
}

/** A cell for each slot, rank by rank, with the expert's number where there is room. */
export function slotMap(change: SlotChange): PlotSpec {
  const marks = slotMarks(change);
  const numSlots = change.after[0]!.length;
  const perRank = numSlots / change.numRanks;
  const isNew = ({ kind }: SlotMark): boolean => kind === KINDS[2] || kind === KINDS[3];
  const values = marks.map((mark) => ({
    ...mark,
    ...{ right: mark.slot + 1, below: mark.layer + 1, x: mark.slot + 0.5, y: mark.layer + 0.5 },
    text: mark.expert < 0 ? '' : String(mark.expert),
    say: `rank: ${mark.rank}, slot ${mark.slot}; MoE layer: ${mark.layer}; expert: ${mark.expert}; replicas of it: ${mark.numReplicas}; it: ${mark.kind}`,
  }));
  const caption = `${marks.filter(isNew).length} of ${marks.filter(({ expert }) => expert >= 0).length} slots hold an expert that their rank did not hold before: its weights are copied there.`;
  const numLayers = change.after.length;
  const hasRoom = MAP_WIDTH / numSlots >= 13;
  return {
    title: heading('Experts in the slots of each rank, after', caption),
    ...{ width: MAP_WIDTH, height: 15 * numLayers, data: { values } },
    layer: [
      cells(change.numRanks, perRank, numLayers),
      ...(hasRoom ? [numbers] : []),
      borders(change.numRanks, perRank),
    ],
  };
}

const cells = (numRanks: number, perRank: number, numLayers: number): PlotSpec => ({
  mark: { type: 'rect', stroke: 'white', strokeWidth: 0.5 },
  encoding: {
    x: {
      ...{ field: 'slot', type: 'quantitative', scale: { domain: [0, numRanks * perRank], nice: false } },
      axis: {
        ...{
          title: null,
          grid: false,
          ticks: false,
          domain: false,
          values: Array.from({ length: numRanks }, (_, rank) => (rank + 0.5) * perRank),
        },
        labelExpr: `'rank ' + floor(datum.value / ${perRank})`,
      },
    },
    x2: { field: 'right' },
    y: {
      ...{ field: 'layer', type: 'quantitative', scale: { domain: [0, numLayers], reverse: true, nice: false } },
      axis: {
        ...{
          title: 'MoE layer',
          grid: false,
          ticks: false,
          domain: false,
          minExtent: 20,
          labelOverlap: numLayers > 64,
        },
        ...{ values: Array.from({ length: numLayers }, (_, layer) => layer + 0.5), labelExpr: 'floor(datum.value)' },
      },
    },
    y2: { field: 'below' },
    color: {
      ...{
        field: 'kind',
        type: 'nominal',
        title: null,
        scale: { domain: KINDS.slice(0, 4), range: COLORS.slice(0, 4) },
      },
      legend: { orient: 'bottom', columns: 2, symbolType: 'square' },
    },
    description: { field: 'say' },
  },
});

const numbers: PlotSpec = {
  mark: { type: 'text', fontSize: 8, aria: false },
  encoding: {
    x: { field: 'x', type: 'quantitative' },
    y: { field: 'y', type: 'quantitative' },
    text: { field: 'text' },
    color: { condition: { test: `datum.kind === '${KINDS[3]}'`, value: 'white' }, value: '#222' },
  },
};

const borders = (numRanks: number, perRank: number): PlotSpec => ({
  data: { values: Array.from({ length: numRanks + 1 }, (_, rank) => ({ slot: rank * perRank })) },
  mark: { type: 'rule', strokeWidth: 1.2, color: CATEGORIES[6], aria: false },
  encoding: { x: { field: 'slot', type: 'quantitative' } },
});
