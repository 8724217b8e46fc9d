/** How often prompts begin with the same blocks. Why: docs/decisions/kv_store.md#what-many-ask-for-lies-in-several-places */
import type { NamedBlocks } from './named_blocks.js';

/** How long and how much is remembered. */
export interface HeatOptions {
  /** After so long a request counts half. */
  readonly halfLifeMs: number;
  /** Blocks; beyond them what was asked for longest ago is forgotten. */
  readonly maxBlocks: number;
  /** Deeper blocks of a prompt aren't looked at. */
  readonly maxDepth: number;
}

/** A prefix that many prompts have. */
export interface HotPrefix {
  /** Of its blocks, in order: 64 hexadecimal digits each. */
  readonly keys: readonly string[];
  /** Requests with all of it, of which each counts the less the longer ago it was. */
  readonly heat: number;
}

/** A block of prompts, behind the one before it. */
interface Node {
  readonly key: string;
  readonly parent: Node | null;
  heat: number;
  atMs: number;
}

/** Of the prompts of one pool. Time is what the caller says. */
export class Heat {
  /** That which was asked for longest ago first; of one prompt the deepest first, so that no block outlives the one before it. */
  private readonly nodes = new Map<string, Node>();
  /** Those that were as hot as {@link hot} asked for, when a prompt had them last. */
  private readonly warm = new Set<Node>();

  /** @param minHeat from which on a prefix is hot */
  constructor(
    private readonly options: HeatOptions,
    private readonly minHeat: number,
  ) {}

  /** Blocks that are remembered. */
  get size(): number {
    return this.nodes.size;
  }

  /** A prompt came. */
  add(blocks: NamedBlocks, nowMs: number): void {
    const { maxBlocks, maxDepth } = this.options;
    const path: Node[] = [];
    const depth = Math.min(blocks.numBlocks, maxDepth, maxBlocks);
    for (let i = 0; i < depth; i++) path.push(this.touched(blocks.wholeAt(i), path[i - 1] ?? null, nowMs));
    for (const node of path.toReversed()) {
      this.nodes.delete(node.key);
      this.nodes.set(node.key, node);
    }
    for (const node of this.nodes.values()) {
      if (this.nodes.size <= maxBlocks) break;
      this.nodes.delete(node.key);
      this.warm.delete(node);
    }
  }

  /** The longest prefixes of each heat, the hottest first: none is the beginning of one that is wanted as often, by `wantedOf` their heat. */
  hot(nowMs: number, wantedOf: (heat: number) => number): readonly HotPrefix[] {
    const wanted = new Map<Node, number>();
    for (const node of this.warm) {
      const heat = this.heatAt(node, nowMs);
      if (heat < this.minHeat) this.warm.delete(node);
      else wanted.set(node, wantedOf(heat));
    }
    const inner = new Set<Node>();
    for (const [node, count] of wanted) {
      const { parent } = node;
      if (parent !== null && wanted.get(parent) === count) inner.add(parent);
    }
    return [...wanted.keys()]
      .filter((node) => !inner.has(node))
      .map((node) => ({ keys: keysTo(node), heat: this.heatAt(node, nowMs) }))
      .sort((a, b) => b.heat - a.heat);
  }

  private touched(key: string, parent: Node | null, nowMs: number): Node {
    const node = this.nodes.get(key) ?? { key, parent, heat: 0, atMs: nowMs };
    node.heat = this.heatAt(node, nowMs) + 1;
    node.atMs = nowMs;
    this.nodes.set(key, node);
    if (node.heat >= this.minHeat) this.warm.add(node);
    return node;
  }

  private heatAt({ heat, atMs }: Node, nowMs: number): number {
    return heat * 2 ** ((atMs - nowMs) / this.options.halfLifeMs);
  }
}

function keysTo(last: Node): readonly string[] {
  const keys: string[] = [];
  for (let node: Node | null = last; node !== null; node = node.parent) keys.push(node.key);
  return keys.reverse();
}
