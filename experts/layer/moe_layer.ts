/**
 * One Mixture-of-Experts layer: gate → replica choice → dispatch → experts → combine, plus the shared experts.
 * Shape suffixes: T tokens of this rank, H hidden, K choices per token.
 */
import type { AllToAll, DispatchResult, Pending, RowsAtHome } from '../../comm/all_to_all/all_to_all.js';
import type { StepTag } from '../../comm/mesh/frame.js';
import { asRows, contiguous, floatRows, rowsFrom, type FloatRows } from '../../base/float_rows.js';
import type { ExpertOutput } from '../../compute/base/expert_compute.js';
import type { GateSpec, Routing } from '../../compute/base/gate_spec.js';
import { routeBy, type GateChoice } from '../routing/custom_gate.js';
import { forcedRouting } from '../routing/gate.js';
import { skipChoices } from '../routing/skip_choices.js';
import type { LoadMonitor } from '../load/load_monitor.js';
import type { Rank } from '../../base/ids.js';
import { ranksOf, type Placement } from '../placement/placement.js';
import type { ReplicaChooser } from '../placement/replica_choice.js';
import { slicedChoices, slicedWeights, summedSlices, wholeChoices } from '../placement/slices.js';
import type { MoeTokens } from './moe_tokens.js';
import { dividedChoices } from '../routing/deferred_choices.js';
import type { LateSum, LateSums } from './late_sums.js';
import { mixedWeights } from './residual_mix.js';
import { expertOutputs } from './expert_outputs.js';
import type { MoeLook, MoeLooks } from './moe_look.js';
import type { ExpertShard } from './shard.js';
import type { LapPlace, Stopwatch } from '../../compute/base/stopwatch.js';

/** What one layer works with; most of it is shared by all layers of a rank. */
export interface MoeLayerParts {
  /** The transformer layer, as in frame tags and the shard. */
  readonly layer: number;
  /** Its number among the MoE layers, as in placements and load counters. */
  readonly moeLayer: number;
  readonly hidden: number;
  readonly gateSpec: GateSpec;
  /** Chooses instead of the model's own gate. Default null: nobody does. */
  readonly gate?: GateChoice | null;
  /** Into which each expert is divided, in placements and the shard. Default 1: none is. */
  readonly slices?: number;
  readonly shard: ExpertShard;
  readonly ep: AllToAll;
  readonly replicas: ReplicaChooser;
  /** Choices of each token, those of least weight, whose results are added behind the next MoE layer. Default 0: none. */
  readonly numDeferred?: number;
  /** Parts into which a step's tokens are cut, so that rows of one travel while another computes. Default 1. */
  readonly microBatches?: number;
  /** Counts choices per logical expert. */
  readonly load: LoadMonitor;
  /** Counts choices per rank that computes them. */
  readonly rankLoad: LoadMonitor;
  readonly clock: Stopwatch;
}

/** What all layers of a step have in common. */
export interface MoeStep {
  readonly placement: Placement;
  readonly tag: Omit<StepTag, 'layer' | 'microBatch'>;
  /** Ranks that are known to have no tokens. Default none. Why: docs/decisions/exchange.md#idle-ranks-are-known */
  readonly idle?: ReadonlySet<Rank> | undefined;
  /** What each rank computes in the same time, the same on all ranks. Default: all alike. */
  readonly capacities?: readonly number[] | undefined;
  /** [T] of the rank's tokens in their sequences, for gates of others. Default: all 0. */
  readonly positions?: Int32Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default null: nobody looks. */
  readonly looks?: MoeLooks | null | undefined;
  /** What comes later than its layer. Needed where some layer defers choices. */
  readonly late?: LateSums | undefined;
}

/** A layer's rows and where they go. */
interface RoutedRows {
  readonly x: FloatRows;
  /** [T·K] physical experts, or [T·K·S] slices of them. */
  readonly topkIdx: Int32Array;
  readonly topkWeights: Float32Array;
}

/** `later`: null where nothing comes later. */
interface DividedRows {
  readonly now: RoutedRows;
  readonly later: RoutedRows | null;
}

/** Micro-batches on their way, numbered from `first`. */
interface SentBatches {
  readonly first: number;
  readonly batches: readonly RoutedRows[];
  readonly dispatched: readonly Pending<DispatchResult>[];
}

/** Runs one MoE layer over all ranks of the mesh. */
export class MoeLayer {
  /** Of a lap that no micro-batch has. */
  private readonly place: LapPlace;
  private readonly noRows: FloatRows;

  constructor(private readonly parts: MoeLayerParts) {
    this.place = { layer: parts.layer };
    this.noRows = floatRows(new Float32Array(0), parts.hidden);
  }

  /**
   * Every rank of the mesh calls it with the same tag and idle ranks; a rank without tokens gives null and still serves its experts. Returns what was chosen.
   * `forcedIdx` [T·K] are logical experts that tokens go to whatever the gate says, for experiments.
   */
  async forward(tokens: MoeTokens | null, step: MoeStep, forcedIdx?: Int32Array): Promise<Routing> {
    const { placement, signal, capacities } = step;
    const { moeLayer, gateSpec, slices = 1, replicas, load, rankLoad, clock, ep } = this.parts;
    const routing =
      tokens === null ? NO_TOKENS : forcedIdx ? forcedRouting(forcedIdx, gateSpec) : await this.routed(tokens, step);
    const x = tokens === null ? this.noRows : await tokens.rows();
    const mixed = (await tokens?.mix()) ?? null;
    const topkWeights = mixed === null ? routing.topkWeights : mixedWeights(routing.topkWeights, mixed);
    clock.lap('gate', this.place);
    const look = step.looks?.moe(this.parts.layer) ?? null;
    if (look !== null && tokens !== null) await look.routed(tokens, routing);
    const chosen = slicedChoices(routing.topkIdx, slices);
    const topkIdx = await replicas.choose(chosen, placement, moeLayer, signal, capacities);
    load.record(moeLayer, routing.topkIdx, wholeChoices(topkIdx, slices));
    rankLoad.record(moeLayer, ranksOf(placement, topkIdx));
    clock.lap('replicas', this.place);
    const rows = { x, topkIdx, topkWeights: slicedWeights(topkWeights, slices) };
    const parts = this.dividedRows(rows, routing.topkWeights);
    if (ep.alone === null) await this.exchange(tokens, parts, step);
    else if (tokens !== null) await this.stayHome(ep.alone, tokens, parts, step);
    if (look !== null) await this.computeOutputs(look, rows, step);
    return routing;
  }

  /** Without what weighs too little. */
  private async routed(tokens: MoeTokens, step: MoeStep): Promise<Routing> {
    return skipChoices(await this.route(tokens, step), this.parts.gateSpec);
  }

  /** By the model's own gate, or by one of others. */
  private async route(tokens: MoeTokens, { tag, positions }: MoeStep): Promise<Routing> {
    const { gate = null, moeLayer, gateSpec } = this.parts;
    if (gate === null) return tokens.route();
    const logits = await tokens.logits();
    return routeBy(gate, {
      ...{ logits, moeLayer, step: tag.step, bias_E: tokens.bias_E },
      positions: positions ?? new Int32Array(logits.length / gateSpec.numExperts),
    });
  }

  /** One rank alone: rows stay where they are, in one batch. Why: docs/decisions/exchange.md#one-rank-exchanges-nothing */
  private async stayHome(
    home: RowsAtHome,
    tokens: MoeTokens,
    { now, later }: DividedRows,
    { late }: MoeStep,
  ): Promise<void> {
    const { layer, shard, clock } = this.parts;
    const made = async (
      { x, topkIdx, topkWeights }: RoutedRows,
      turn: 0 | 1,
      room: () => FloatRows,
    ): Promise<FloatRows> => {
      const out = await shard.forward(layer, home.dispatch(layer, x, topkIdx, topkWeights), turn);
      return home.combine(turn === 0 ? out : this.kept(out), topkIdx, topkWeights, room);
    };
    await tokens.runShared();
    const y = await made(now, 0, () => tokens.room());
    const before = (await late?.take()) ?? null;
    if (later !== null) {
      const { place } = late!;
      late!.put({ y: await made(later, 1, () => tokens.lateRoom(place)), pending: [] });
    }
    tokens.add(y, before);
    clock.lap('experts', this.place);
  }

  /** What is added behind this layer, and what behind the next one; null: nothing is. */
  private dividedRows(rows: RoutedRows, topkWeights: Float32Array): DividedRows {
    const { gateSpec, numDeferred = 0 } = this.parts;
    if (numDeferred === 0) return { now: rows, later: null };
    const { now, later } = dividedChoices(rows.topkIdx, topkWeights, { numTopk: gateSpec.numTopk, numDeferred });
    return { now: { ...rows, topkIdx: now }, later: { ...rows, topkIdx: later } };
  }

  /** For who looks; behind the layer, whose rows are still there. */
  private async computeOutputs(look: MoeLook, rows: RoutedRows, { tag, signal }: MoeStep): Promise<void> {
    const { layer, shard, ep, clock, hidden, slices = 1, microBatches = 1 } = this.parts;
    if (look.outputs === null) return;
    const place = { ep, shard, tag: { ...tag, layer, microBatch: 2 * microBatches }, signal };
    look.computed(summedSlices(await expertOutputs(look.outputs, rows, place), hidden, slices));
    clock.lap('experts', this.place);
  }

  /** Over all ranks, in micro-batches. */
  private async exchange(tokens: MoeTokens | null, { now, later }: DividedRows, step: MoeStep): Promise<void> {
    const { clock, microBatches = 1 } = this.parts;
    const { late } = step;
    const sent = this.dispatchedBatches(now, 0, step);
    const sentLater = later === null ? null : this.dispatchedBatches(later, microBatches, step);
    clock.lap('dispatch', this.place);
    await tokens?.runShared(); // computes while rows travel
    clock.lap('experts', this.place);
    const y = tokens === null ? this.noRows : tokens.room();
    const combining = await this.runExperts(sent, y, 0);
    const sum = sentLater === null ? null : await this.runLater(sentLater, tokens, late!.place);
    const before = await this.combined(combining, late);
    late?.put(sum);
    tokens?.add(y, before);
    clock.lap('experts', this.place);
  }

  /** While what is added behind this layer goes home. */
  private async runLater(sent: SentBatches, tokens: MoeTokens | null, place: 0 | 1): Promise<LateSum> {
    const { microBatches = 1 } = this.parts;
    const y = tokens === null ? this.noRows : tokens.lateRoom(place);
    return { y, pending: await this.runExperts(sent, y, microBatches) };
  }

  /** A copy: where experts leave their results, the next layer's may need the room. */
  private kept(out: ExpertOutput): Float32Array {
    return contiguous(asRows(out, this.parts.hidden)).slice();
  }

  /** Waits for what comes home, and gives what the layer before left. */
  private async combined(combining: readonly Pending<void>[], late: LateSums | undefined): Promise<FloatRows | null> {
    const { layer, clock } = this.parts;
    for (const [microBatch, pending] of combining.entries()) {
      await pending.hook();
      clock.lap('combine', { layer, microBatch });
    }
    const before = (await late?.take()) ?? null;
    if (before !== null) clock.lap('combine', this.place);
    return before;
  }

  /** `first`: the number of the first of them. Rows of those that come later are copied: they leave while the next layer runs. */
  private dispatchedBatches(rows: RoutedRows, first: number, step: MoeStep): SentBatches {
    const batches = this.batchesOf(rows);
    const dispatched = batches.map((batch, i) => this.startDispatch(batch, first + i, step, first === 0));
    return { first, batches, dispatched };
  }

  /** Of equal size; a rank with fewer tokens has empty ones, since its peers wait for them. */
  private batchesOf(rows: RoutedRows): readonly RoutedRows[] {
    const { microBatches = 1 } = this.parts;
    if (microBatches === 1) return [rows];
    const { x, topkIdx, topkWeights } = rows;
    const { numRows } = x;
    const numTopk = numRows === 0 ? 0 : topkIdx.length / numRows;
    return Array.from({ length: microBatches }, (_, microBatch) => {
      const from = Math.ceil((microBatch * numRows) / microBatches);
      const to = Math.ceil(((microBatch + 1) * numRows) / microBatches);
      return {
        x: rowsFrom(x, from, to - from),
        topkIdx: topkIdx.subarray(from * numTopk, to * numTopk),
        topkWeights: topkWeights.subarray(from * numTopk, to * numTopk),
      };
    });
  }

  private startDispatch(
    { x, topkIdx, topkWeights }: RoutedRows,
    microBatch: number,
    { tag: { step, epoch }, idle, signal }: MoeStep,
    isLent: boolean,
  ): Pending<DispatchResult> {
    const { ep, layer, replicas } = this.parts;
    const tag = { step, epoch, layer, microBatch };
    const known = replicas.asksAll === true ? undefined : idle;
    // Lent rows stay where they are until the layer is over.
    return ep.startDispatch({ x, isLent, topkIdx, topkWeights, tag, idle: known, signal });
  }

  /** One micro-batch computes while the rows of the next ones come and those of the last ones go home, to their part of y: returns what waits for them. `turn`: the first one's. */
  private async runExperts(
    { first, batches, dispatched }: SentBatches,
    y: FloatRows,
    turn: number,
  ): Promise<readonly Pending<void>[]> {
    const { layer, shard, ep, clock } = this.parts;
    const combining: Pending<void>[] = [];
    let from = 0;
    for (const [i, pending] of dispatched.entries()) {
      const microBatch = first + i;
      const recv = await pending.hook();
      clock.lap('dispatch', { layer, microBatch });
      const out = await shard.forward(layer, recv, turn + i);
      recv.release();
      clock.lap('experts', { layer, microBatch });
      const { numRows } = batches[i]!.x;
      const part = numRows === y.numRows ? y : rowsFrom(y, from, numRows);
      combining.push(ep.startCombine(first === 0 ? out : this.kept(out), recv.handle, part));
      from += numRows;
      clock.lap('combine', { layer, microBatch });
    }
    return combining;
  }
}

const NO_TOKENS: Routing = { topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
