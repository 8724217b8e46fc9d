/**
 * Which rows cross between nodes, and which go where inside one: pure, from the routing alone.
 * N nodes of R ranks; a slot of a node is localRank · slotsPerRank + slot. T tokens, K choices per token, n rows of one source.
 */
import { asRank, type Rank } from '../../../base/ids.js';
import { layoutOf, type DestinationLayout, type LayoutShape } from '../contract/layout.js';

/** Where one rank stands among nodes. Its relay on another node is the rank there with its local number. */
export class NodePlan {
  readonly numNodes: number;
  readonly node: number;
  readonly local: number;

  constructor(
    rank: Rank,
    size: number,
    readonly ranksPerNode: number,
  ) {
    this.numNodes = size / ranksPerNode;
    this.node = this.nodeOf(rank);
    this.local = this.localOf(rank);
  }

  /** The node of a rank. */
  nodeOf(rank: Rank): number {
    return Math.floor(rank / this.ranksPerNode);
  }

  /** A rank's number inside its node, from 0. */
  localOf(rank: Rank): number {
    return rank % this.ranksPerNode;
  }

  /** The rank of the job with this local number on this node. */
  rankAt(node: number, local: number): Rank {
    return asRank(node * this.ranksPerNode + local);
  }

  /** Of these ranks, those on the own node. */
  onNode(ranks: readonly Rank[]): Rank[] {
    return ranks.filter((rank) => this.nodeOf(rank) === this.node);
  }

  /** Of these ranks, those on other nodes with the own local number: the relays of this rank, which relays for them. */
  relays(ranks: readonly Rank[]): Rank[] {
    return ranks.filter((rank) => this.nodeOf(rank) !== this.node && this.localOf(rank) === this.local);
  }

  /** One entry per node. */
  byNode<T>(of: (node: number) => T): T[] {
    return Array.from({ length: this.numNodes }, (_, node) => of(node));
  }
}

/** What the layouts of one all-to-all share. */
export type ChoiceShape = Pick<LayoutShape, 'numTopk' | 'slotsPerRank'> & { readonly ranksPerNode: number };

/** One entry per node for `topkIdx` [T·K]: what crosses to it, or stays on the own one. @throws CommError as `layoutOf`. */
export function nodeLayoutsOf(topkIdx: Int32Array, shape: ChoiceShape, numNodes: number): DestinationLayout[] {
  const { numTopk, slotsPerRank, ranksPerNode } = shape;
  return layoutOf(topkIdx, { numTopk, slotsPerRank: slotsPerRank * ranksPerNode, size: numNodes });
}

/** The rows of one source that a relay hands on inside its node. */
export interface RelayedLayout {
  /** All of them: `rows` is 0 … n−1, `slots` are the node's. */
  readonly whole: DestinationLayout;
  /** By local rank. */
  readonly byLocal: readonly DestinationLayout[];
}

/** From node slots [n·K] in range. */
export function relayedLayoutOf(slots: Int16Array, shape: ChoiceShape): RelayedLayout {
  const { numTopk, slotsPerRank, ranksPerNode } = shape;
  return { whole: wholeOf(slots, shape), byLocal: layoutOf(slots, { numTopk, slotsPerRank, size: ranksPerNode }) };
}

/** A layout of node slots without what is missing: [R] not 0 for each local rank whose rows don't come. Source and relay do it alike. */
export function withoutMissing(layout: DestinationLayout, missing: Uint8Array, shape: ChoiceShape): DestinationLayout {
  if (missing.every((one) => one === 0)) return layout;
  const slots = layout.slots.map((slot) =>
    slot >= 0 && missing[Math.floor(slot / shape.slotsPerRank)] !== 0 ? -1 : slot,
  );
  const kept = wholeOf(slots, shape);
  return { ...kept, rows: kept.rows.map((n) => layout.rows[n]!) };
}

/** topkIdx [T·K] back from the layouts of all nodes, undefined where nothing came. */
export function choicesOf(
  layouts: readonly (DestinationLayout | undefined)[],
  numTokens: number,
  { numTopk, slotsPerRank, ranksPerNode }: ChoiceShape,
): Int32Array {
  const topkIdx = new Int32Array(numTokens * numTopk).fill(-1);
  for (const [node, layout] of layouts.entries()) {
    const { rows = [], slots = [] } = layout ?? {};
    for (let i = 0; i < slots.length; i++) {
      if (slots[i]! < 0) continue;
      const token = rows[Math.floor(i / numTopk)]!;
      topkIdx[token * numTopk + (i % numTopk)] = node * ranksPerNode * slotsPerRank + slots[i]!;
    }
  }
  return topkIdx;
}

function wholeOf(slots: Int16Array, { numTopk, slotsPerRank, ranksPerNode }: ChoiceShape): DestinationLayout {
  return layoutOf(slots, { numTopk, slotsPerRank: slotsPerRank * ranksPerNode, size: 1 })[0]!;
}
