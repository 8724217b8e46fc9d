/**
 * One Mixture-of-Experts layer: gate → replica choice → dispatch → experts → combine, plus the shared experts.
 * Shape suffixes: T tokens of this rank, H hidden, K choices per token.
 */
import type { AllToAll, DispatchResult, Pending } from '../comm/all_to_all.js';
import type { StepTag } from '../comm/frame.js';
import type { Ffn } from './ffn.js';
import { forcedRouting, type Gate, type Routing } from './gate.js';
import type { LoadMonitor } from './load_monitor.js';
import { ranksOf, type Placement } from './placement.js';
import type { ReplicaChooser } from './replica_choice.js';
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
  readonly replicas: ReplicaChooser;
  /** Parts into which a step's tokens are cut, so that rows of one travel while another computes. Default 1. */
  readonly microBatches?: number;
  /** Counts choices per logical expert. */
  readonly load: LoadMonitor;
  /** Counts choices per rank that computes them. */
  readonly rankLoad: LoadMonitor;
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

  /**
   * Every rank of the mesh calls it with the same tag; a rank without tokens gives null and still serves its experts.
   * `forcedIdx` [T·K] are logical experts that tokens go to whatever the gate says, for experiments.
   */
  async forward(
    x_TH: Tensor2D | null,
    placement: Placement,
    tag: Omit<StepTag, 'layer' | 'microBatch'>,
    signal?: AbortSignal,
    forcedIdx?: Int32Array,
  ): Promise<MoeOutput> {
    const { layer, moeLayer, gate, replicas, load, rankLoad, clock } = this.parts;
    const routing =
      x_TH === null ? NO_TOKENS : forcedIdx ? forcedRouting(forcedIdx, gate.spec) : await gate.route(x_TH);
    const x = x_TH === null ? new Float32Array(0) : await rowsOf(x_TH);
    clock.lap('gate', { layer });
    const topkIdx = await replicas.choose(routing.topkIdx, placement, moeLayer, signal);
    load.record(moeLayer, routing.topkIdx, topkIdx);
    rankLoad.record(moeLayer, ranksOf(placement, topkIdx));
    clock.lap('replicas', { layer });
    const dispatched = this.startDispatches(x, topkIdx, routing.topkWeights, { ...tag, layer }, signal);
    clock.lap('dispatch', { layer });
    const shared_TH = this.runShared(x_TH); // computes while rows travel
    try {
      const y = await this.runExperts(dispatched, x.length);
      return { y_TH: x_TH === null ? null : this.withShared(y, shared_TH), routing };
    } finally {
      shared_TH?.dispose();
    }
  }

  /** Sends the tokens in micro-batches of equal size; a rank with fewer tokens sends empty ones, since its peers wait for them. */
  private startDispatches(
    x: Float32Array,
    topkIdx: Int32Array,
    topkWeights: Float32Array,
    tag: Omit<StepTag, 'microBatch'>,
    signal: AbortSignal | undefined,
  ): Pending<DispatchResult>[] {
    const { ep, hidden, microBatches = 1 } = this.parts;
    const numTokens = x.length / hidden;
    const numTopk = numTokens === 0 ? 0 : topkIdx.length / numTokens;
    return Array.from({ length: microBatches }, (_, microBatch) => {
      const from = Math.ceil((microBatch * numTokens) / microBatches);
      const to = Math.ceil(((microBatch + 1) * numTokens) / microBatches);
      return ep.startDispatch({
        x: x.subarray(from * hidden, to * hidden),
        topkIdx: topkIdx.subarray(from * numTopk, to * numTopk),
        topkWeights: topkWeights.subarray(from * numTopk, to * numTopk),
        tag: { ...tag, microBatch },
        ...(signal && { signal }),
      });
    });
  }

  private runShared(x_TH: Tensor2D | null): Tensor2D | null {
    const { sharedExperts, clock, layer } = this.parts;
    if (x_TH === null || sharedExperts === null) return null;
    const shared_TH = sharedExperts.forward(x_TH);
    clock.lap('experts', { layer });
    return shared_TH;
  }

  /** One micro-batch computes while the rows of the next ones come and those of the last ones go home. */
  private async runExperts(dispatched: readonly Pending<DispatchResult>[], numValues: number): Promise<Float32Array> {
    const { layer, shard, ep, clock } = this.parts;
    const combining: Pending<Float32Array>[] = [];
    for (const [microBatch, pending] of dispatched.entries()) {
      const recv = await pending.hook();
      clock.lap('dispatch', { layer, microBatch });
      const out = await shard.forward(layer, recv);
      recv.release();
      clock.lap('experts', { layer, microBatch });
      combining.push(ep.startCombine(out, recv.handle));
      clock.lap('combine', { layer, microBatch });
    }
    if (combining.length === 1) return this.combined(combining[0]!, 0);
    const y = new Float32Array(numValues);
    let at = 0;
    for (const [microBatch, pending] of combining.entries()) {
      const part = await this.combined(pending, microBatch);
      y.set(part, at);
      at += part.length;
    }
    return y;
  }

  private async combined(pending: Pending<Float32Array>, microBatch: number): Promise<Float32Array> {
    const { layer, clock } = this.parts;
    const y = await pending.hook();
    clock.lap('combine', { layer, microBatch });
    return y;
  }

  private withShared(y: Float32Array, shared_TH: Tensor2D | null): Tensor2D {
    const { hidden, clock, layer } = this.parts;
    const y_TH = tidy(() => {
      const routed_TH = toTensor(y, [y.length / hidden, hidden]);
      return shared_TH === null ? routed_TH : add(routed_TH, shared_TH);
    });
    clock.lap('experts', { layer });
    return y_TH;
  }

  dispose(): void {
    this.parts.gate.dispose();
    this.parts.sharedExperts?.dispose();
  }
}

const NO_TOKENS: Routing = { topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
