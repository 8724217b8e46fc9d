/** Counts what one rank's all-to-all sends and waits for, per layer, phase and peer: a few additions per frame, so it is always on. */
import type { Phase } from '../../mesh/frame.js';
import type { Rank } from '../../../base/ids.js';

/** One layer and phase of one rank; arrays [size] since the start. The own rank's entry counts rows that stayed in memory (0 bytes). */
export interface PhaseTraffic {
  readonly layer: number;
  readonly phase: Phase;
  /**
   * By destination: distinct tokens in dispatch; in combine, the tokens that rows went back for: of that destination, or inside a node
   * of all whose rows it relays. `dispatch_node` and `combine_node`: the hop between nodes.
   */
  readonly tokens: readonly number[];
  /** By destination: rows, which are several per token where every choice travels. */
  readonly rows: readonly number[];
  /** By destination: frame bytes, headers included. */
  readonly bytes: readonly number[];
  /** By source: milliseconds this rank waited for that peer's frame; 0 where it was there already. */
  readonly waitMs: readonly number[];
}

/** Of one layer and phase. */
interface Counters {
  readonly phase: Phase;
  readonly layer: number;
  readonly tokens: Float64Array;
  readonly rows: Float64Array;
  readonly bytes: Float64Array;
  readonly waitMs: Float64Array;
}

/** The counters of one rank, made for a layer and phase when it is first used. */
export class ExchangeStats {
  private readonly counters = new Map<Phase, Map<number, Counters>>();
  /** What was counted last: most likely it is next too. */
  private last: Counters | undefined;

  constructor(private readonly size: number) {}

  /** Counts what left for a rank, or stayed with the own one. */
  sent(phase: Phase, layer: number, to: Rank, tokens: number, rows: number, bytes: number): void {
    const counters = this.of(phase, layer);
    counters.tokens[to]! += tokens;
    counters.rows[to]! += rows;
    counters.bytes[to]! += bytes;
  }

  /** Adds milliseconds that this rank waited for a peer's frame. */
  waited(phase: Phase, layer: number, from: Rank, waitMs: number): void {
    this.of(phase, layer).waitMs[from]! += waitMs;
  }

  /** A copy, by layer, then phase in the order of first use. */
  snapshot(): PhaseTraffic[] {
    const all: PhaseTraffic[] = [];
    for (const [phase, layers] of this.counters) {
      for (const [layer, { tokens, rows, bytes, waitMs }] of layers) {
        const lists = { tokens: [...tokens], rows: [...rows], bytes: [...bytes], waitMs: [...waitMs] };
        all.push({ layer, phase, ...lists });
      }
    }
    return all.sort((a, b) => a.layer - b.layer);
  }

  /** Bytes by destination, over all layers, of the phases whose name begins so. */
  bytes(prefix: 'dispatch' | 'combine'): number[] {
    const sum = new Array<number>(this.size).fill(0);
    for (const [phase, layers] of this.counters) {
      if (!phase.startsWith(prefix)) continue;
      for (const { bytes } of layers.values()) bytes.forEach((count, rank) => (sum[rank]! += count));
    }
    return sum;
  }

  /** Milliseconds waited by source, over all layers and phases. */
  waitMs(): number[] {
    const sum = new Array<number>(this.size).fill(0);
    for (const layers of this.counters.values()) {
      for (const { waitMs } of layers.values()) waitMs.forEach((ms, rank) => (sum[rank]! += ms));
    }
    return sum;
  }

  private of(phase: Phase, layer: number): Counters {
    const { last } = this;
    if (last?.layer === layer && last.phase === phase) return last;
    let layers = this.counters.get(phase);
    if (layers === undefined) this.counters.set(phase, (layers = new Map<number, Counters>()));
    let counters = layers.get(layer);
    if (counters === undefined) {
      const zeros = (): Float64Array => new Float64Array(this.size);
      counters = { phase, layer, tokens: zeros(), rows: zeros(), bytes: zeros(), waitMs: zeros() };
      layers.set(layer, counters);
    }
    this.last = counters;
    return counters;
  }
}
