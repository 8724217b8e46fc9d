/**
 * One Mixture-of-Experts layer: gate → dispatch → experts → combine, plus the shared experts.
 * Shape suffixes: T tokens of this rank, H hidden, K choices per token.
 */
import type { AllToAll } from '../comm/all_to_all.js';
import type { StepTag } from '../comm/frame.js';
import type { Ffn } from './ffn.js';
import type { Gate, Routing } from './gate.js';
import type { LoadMonitor } from './load_monitor.js';
import { toPhysical, type Placement } from './placement.js';
import type { ExpertShard } from './shard.js';
import type { Stopwatch } from './stopwatch.js';
import { add, rowsOf, tidy, toTensor, type Tensor2D } from './tf.js';

export interface MoeLayerParts {
  /** The transformer layer, as in frame tags and the shard. */
  readonly layer: number;
  /** Its number among the MoE layers, as in placements and load counters. */
  readonly moeLayer: number;
  readonly hidden: number;
  readonly gate: Gate;
  readonly sharedExperts: Ffn | null;
  readonly shard: ExpertShard;
  readonly ep: AllToAll;
  readonly load: LoadMonitor;
  readonly clock: Stopwatch;
}

/** What a layer chose, for those who ask for routed experts. */
export interface MoeOutput {
  readonly y_TH: Tensor2D | null;
  readonly routing: Routing;
}

export class MoeLayer {
  private readonly parts: MoeLayerParts;

  constructor(parts: MoeLayerParts) {
    this.parts = parts;
  }

  /** Every rank of the mesh calls it with the same tag; a rank without tokens gives null and still serves its experts. */
  async forward(
    x_TH: Tensor2D | null,
    placement: Placement,
    tag: Omit<StepTag, 'layer'>,
    signal?: AbortSignal,
  ): Promise<MoeOutput> {
    const { layer, moeLayer, gate, shard, ep, load, clock } = this.parts;
    const routing = x_TH === null ? NO_TOKENS : await gate.route(x_TH);
    load.record(moeLayer, routing.topkIdx);
    const topkIdx = toPhysical(placement, moeLayer, routing.topkIdx);
    const x = x_TH === null ? new Float32Array(0) : await rowsOf(x_TH);
    clock.lap('gate');
    const { topkWeights } = routing;
    const dispatched = ep.dispatch({ x, topkIdx, topkWeights, tag: { ...tag, layer }, ...(signal && { signal }) });
    const shared_TH = this.runShared(x_TH, dispatched); // computes while rows travel
    try {
      const recv = await dispatched;
      clock.lap('dispatch');
      const out = await shard.forward(layer, recv);
      clock.lap('experts');
      const y = await ep.combine(out, recv.handle);
      clock.lap('combine');
      return { y_TH: x_TH === null ? null : this.withShared(y, shared_TH), routing };
    } finally {
      shared_TH?.dispose();
    }
  }

  private runShared(x_TH: Tensor2D | null, dispatched: Promise<unknown>): Tensor2D | null {
    const { sharedExperts, clock } = this.parts;
    if (x_TH === null || sharedExperts === null) return null;
    try {
      clock.lap('dispatch');
      const shared_TH = sharedExperts.forward(x_TH);
      clock.lap('experts');
      return shared_TH;
    } catch (error) {
      dispatched.catch(() => undefined); // The shared experts' error is the one that counts.
      throw error;
    }
  }

  private withShared(y: Float32Array, shared_TH: Tensor2D | null): Tensor2D {
    const { hidden, clock } = this.parts;
    const y_TH = tidy(() => {
      const routed_TH = toTensor(y, [y.length / hidden, hidden]);
      return shared_TH === null ? routed_TH : add(routed_TH, shared_TH);
    });
    clock.lap('experts');
    return y_TH;
  }

  dispose(): void {
    this.parts.gate.dispose();
    this.parts.sharedExperts?.dispose();
  }
}

const NO_TOKENS: Routing = { topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
