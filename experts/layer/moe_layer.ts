/**
 * One Mixture-of-Experts layer: gate → replica choice → dispatch → experts → combine, plus the shared experts.
 * Shape suffixes: T tokens of this rank, H hidden, K choices per token.
 */
import type { AllToAll, DispatchResult, Pending } from '../../comm/all_to_all/all_to_all.js';
import type { StepTag } from '../../comm/mesh/frame.js';
import type { GateSpec, Routing } from '../../compute/base/gate_spec.js';
import { forcedRouting } from '../routing/gate.js';
import type { LoadMonitor } from '../load/load_monitor.js';
import { ranksOf, type Placement } from '../placement/placement.js';
import type { ReplicaChooser } from '../placement/replica_choice.js';
import type { ExpertShard } from './shard.js';
import type { Stopwatch } from '../../compute/base/stopwatch.js';

/** A layer's tokens on this rank, in the memory of whatever computes them: what the layer needs of them, and does to them. */
export interface MoeTokens {
  /** The gate's choices. @throws ExpertError NOT_FINITE */
  route(): Promise<Routing>;
  /** Normed hidden states [T·H], as they travel; they must not change until the layer is over. */
  rows(): Promise<Float32Array>;
  /** Computes the shared experts, if the layer has any; called while rows travel. */
  runShared(): Promise<void>;
  /** Adds y [T·H], what the routed experts made of the rows, and what the shared experts did, to the hidden states. */
  add(y: Float32Array): void;
}

/** What one layer works with; most of it is shared by all layers of a rank. */
export interface MoeLayerParts {
  /** The transformer layer, as in frame tags and the shard. */
  readonly layer: number;
  /** Its number among the MoE layers, as in placements and load counters. */
  readonly moeLayer: number;
  readonly hidden: number;
  readonly gateSpec: GateSpec;
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

/** Runs one MoE layer over all ranks of the mesh. */
export class MoeLayer {
  constructor(private readonly parts: MoeLayerParts) {}

  /**
   * Every rank of the mesh calls it with the same tag; a rank without tokens gives null and still serves its experts. Returns what was chosen.
   * `forcedIdx` [T·K] are logical experts that tokens go to whatever the gate says, for experiments.
   */
  async forward(
    tokens: MoeTokens | null,
    placement: Placement,
    tag: Omit<StepTag, 'layer' | 'microBatch'>,
    signal?: AbortSignal,
    forcedIdx?: Int32Array,
  ): Promise<Routing> {
    const { layer, moeLayer, gateSpec, replicas, load, rankLoad, clock } = this.parts;
    const routing = tokens === null ? NO_TOKENS : forcedIdx ? forcedRouting(forcedIdx, gateSpec) : await tokens.route();
    const x = tokens === null ? new Float32Array(0) : await tokens.rows();
    clock.lap('gate', { layer });
    const topkIdx = await replicas.choose(routing.topkIdx, placement, moeLayer, signal);
    load.record(moeLayer, routing.topkIdx, topkIdx);
    rankLoad.record(moeLayer, ranksOf(placement, topkIdx));
    clock.lap('replicas', { layer });
    const dispatched = this.startDispatches(x, topkIdx, routing.topkWeights, { ...tag, layer }, signal);
    clock.lap('dispatch', { layer });
    await tokens?.runShared(); // computes while rows travel
    clock.lap('experts', { layer });
    const y = await this.runExperts(dispatched, x.length);
    tokens?.add(y);
    clock.lap('experts', { layer });
    return routing;
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
}

const NO_TOKENS: Routing = { topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
