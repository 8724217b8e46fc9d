/** Runs step plans on one rank's model: keeps its sequences and their KV cache, samples, and reports. No sockets, no processes. */
import type { AllToAll } from '../../comm/all_to_all/all_to_all.js';
import type { CountGather } from '../../experts/placement/count_gather.js';
import type { Routing } from '../../compute/base/gate_spec.js';
import type { LoadMonitor } from '../../experts/load/load_monitor.js';
import type { Mesh } from '../../comm/mesh/mesh.js';
import { asRank } from '../../base/ids.js';
import { degradedRows, type Placement } from '../../experts/placement/placement.js';
import type { Stopwatch } from '../../compute/base/stopwatch.js';
import { numKernelRuns, tensorMemory, tensorTransfers } from '../../compute/tfjs/tf.js';
import type { WeightSource } from '../../compute/base/weight_source.js';
import type { Timeline } from '../metrics/timeline.js';
import type { HiddenStates, SequencePart } from '../model/decoder/decoder.js';
import type { LogitRow } from '../model/decoder/logits.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import type { Transformer } from '../model/transformer.js';
import { InternalError } from '../../base/coded_error.js';
import { RankPlacement } from './rank_placement.js';
import { logProbability, sampleToken } from './sampler.js';
import {
  SAMPLED,
  type FreeOrder,
  type MoveOrder,
  type PlanPart,
  type RankStats,
  type SequenceOutput,
  type SequenceStart,
  type StepPlan,
  type StepResult,
} from '../protocol/step_plan.js';

/** What an executor drives. */
export interface RankExecutorParts {
  readonly model: Transformer;
  readonly placement: Placement;
  readonly ep: AllToAll;
  /** What `ep` runs over. */
  readonly mesh: Pick<Mesh, 'rank' | 'send' | 'receive' | 'advanceEpoch'>;
  /** What the model's choice of replicas gathers counts with. */
  readonly countGather: Pick<CountGather, 'enterEpoch'>;
  /** How long rows of an expert that moves are waited for. */
  readonly timeoutMs: number;
  /** Where experts come from that no rank holds any more. */
  readonly disk: WeightSource;
  readonly clock: Stopwatch;
  /** Collects what ran when; null: nobody asked. */
  readonly timeline?: Timeline | null;
  /** Choices per logical expert. */
  readonly load: LoadMonitor;
  /** Choices per rank that computes them. */
  readonly rankLoad: LoadMonitor;
}

/** How often the process's memory is asked for. */
const RSS_EVERY_STEPS = 16;

interface SequenceState extends SequenceStart {
  /** Of all its tokens so far. */
  readonly blocks: number[];
  /** Prompt and output so far. */
  readonly tokenIds: number[];
  /** The token that was sampled last; {@link SAMPLED} stands for it. */
  sampled: number;
}

/** One rank's part of every step. */
export class RankExecutor {
  private readonly sequences = new Map<number, SequenceState>();
  private readonly placement: RankPlacement;
  private numReports = 0;
  private peakRssBytes = 0;

  constructor(private readonly parts: RankExecutorParts) {
    const { model, placement, mesh, timeoutMs, disk } = parts;
    const { spec, shard } = model;
    const shape = { hidden: spec.hiddenSize, intermediate: spec.moe.intermediateSize, dtype: model.shard.dtype };
    this.placement = new RankPlacement(placement, { shard, mesh, shape, layers: moeLayersOf(spec), timeoutMs, disk });
  }

  /**
   * One step. Rejects with what the mesh, the model or the plan got wrong; nothing of the step is sampled then, and what it wrote into the
   * cache is overwritten when the same tokens run again.
   */
  async run(plan: StepPlan, signal?: AbortSignal): Promise<StepResult> {
    const moving = this.placement.begin(plan, signal);
    try {
      const result = await this.compute(plan, signal);
      const moved = await moving.end();
      return moved === null ? result : { ...result, moved };
    } catch (error) {
      moving.abort();
      throw error;
    }
  }

  private async compute(plan: StepPlan, signal: AbortSignal | undefined): Promise<StepResult> {
    const { model, clock, timeline, load, rankLoad } = this.parts;
    if (timeline != null) timeline.step = plan.step;
    clock.start();
    load.reset();
    rankLoad.reset();
    for (const start of plan.begin) {
      const own = { blocks: [...start.blocks], tokenIds: [...start.tokenIds], sampled: SAMPLED };
      this.sequences.set(start.sequence, { ...start, ...own });
    }
    const parts = plan.parts.map((part) => this.withSampled(part));
    const { states, routings } = await model.forward({
      tokenIds: Int32Array.from(parts.flatMap((part) => part.tokenIds)),
      parts: this.sequenceParts(parts),
      placement: this.placement.current,
      tag: { step: plan.step, epoch: plan.epoch },
      ...forcedExperts(parts, model.spec),
      ...(signal && { signal }),
    });
    const outputs = states === null ? [] : await this.outputs(parts, states, routings).finally(() => states.dispose());
    clock.lap('sampling');
    return {
      step: plan.step,
      outputs,
      load: load.snapshot().map((counts) => [...counts]),
      rankLoad: rankLoad.snapshot().map((counts) => [...counts]),
      phasesMs: clock.take(),
      stats: this.stats(),
      ...(timeline != null && { timeline: timeline.take() }),
    };
  }

  /** Takes a step towards another placement. No step may be running. */
  move(move: MoveOrder): void {
    this.placement.move(move);
  }

  /** Leaves everything of earlier epochs behind and goes on without these ranks: all that were lost since the job began. No step may be running. */
  enterEpoch(epoch: number, lost: readonly number[]): void {
    const { ep, mesh, countGather } = this.parts;
    for (const rank of lost) ep.maskRank(asRank(rank));
    mesh.advanceEpoch(epoch);
    countGather.enterEpoch(epoch, lost.map(asRank));
    this.placement.lose(lost);
  }

  /** What this rank holds, computed, sent and waited for. */
  stats(): RankStats {
    const { numTensors, numBytes } = tensorMemory();
    const kernels = this.parts.model.kernelStats();
    const { numUploads, uploadedBytes, numDownloads, downloadedBytes } = tensorTransfers();
    const { dispatch, combine } = this.parts.ep.sentBytes();
    return {
      numTensors,
      tensorBytes: numBytes,
      kernelBytes: kernels.heldBytes,
      numKernelCalls: kernels.numCalls,
      numCopies: kernels.numCopies + numUploads + numDownloads,
      copiedBytes: kernels.copiedBytes + uploadedBytes + downloadedBytes,
      numKernelRuns: numKernelRuns(),
      numKvBlocks: this.parts.model.cache.numBlocks,
      peakRssBytes: this.peakRss(),
      dispatchBytes: dispatch,
      combineBytes: combine,
      waitMs: this.parts.ep.waitedMs(),
    };
  }

  /** Asking takes longer than a small layer. */
  private peakRss(): number {
    if (this.numReports++ % RSS_EVERY_STEPS === 0) this.peakRssBytes = process.resourceUsage().maxRSS * 1024;
    return this.peakRssBytes;
  }

  /** Frees the model and what is being moved. */
  dispose(): void {
    this.placement.dispose();
    this.parts.model.dispose();
  }

  /** Forgets what nobody holds any more. No step may be running. */
  free({ blocks, sequences }: FreeOrder): void {
    this.parts.model.cache.free(blocks);
    for (const sequence of sequences) this.sequences.delete(sequence);
  }

  /** A part with the token that the head doesn't know yet. */
  private withSampled(part: PlanPart): PlanPart {
    if (part.tokenIds[0] !== SAMPLED) return part;
    return { ...part, tokenIds: [this.sequence(part.sequence).sampled] };
  }

  private sequenceParts(parts: readonly PlanPart[]): SequencePart[] {
    const { blockSize } = this.parts.model.cache;
    let rowStart = 0;
    return parts.map(({ sequence, tokenIds, position, isPrompt, blocks: appended }) => {
      const { blocks } = this.sequence(sequence);
      // A step that was abandoned appended blocks already: they may be others now.
      blocks.length = Math.min(blocks.length, Math.ceil(position / blockSize));
      blocks.push(...appended);
      const part = { rowStart, numTokens: tokenIds.length, position, blocks, isPrompt };
      rowStart += tokenIds.length;
      return part;
    });
  }

  private sequence(id: number): SequenceState {
    const state = this.sequences.get(id);
    if (state === undefined) throw new InternalError(`sequence ${id} is unknown here`);
    return state;
  }

  /** Samples and reports, with one trip through the head of the model for all sequences that need logits. */
  private async outputs(
    parts: readonly PlanPart[],
    states: HiddenStates,
    routings: readonly Routing[],
  ): Promise<SequenceOutput[]> {
    const { model } = this.parts;
    const rows: number[] = [];
    const degraded = degradedRows(
      this.placement.current,
      routings.map(({ topkIdx }) => topkIdx),
      model.spec.moe.gate.numTopk,
    );
    let rowStart = 0;
    const wanted = parts.map((part) => {
      const { wants } = this.sequence(part.sequence);
      const first = rowStart;
      const numTokens = part.tokenIds.length;
      rowStart += numTokens;
      const isEvery = !part.isReplay && (wants.promptLogprobs || wants.logits);
      const own = isEvery ? range(first, numTokens) : part.sample ? [first + numTokens - 1] : [];
      const logitStart = rows.length;
      rows.push(...own);
      return { part, first, logitStart, numLogits: own.length };
    });
    const logits = rows.length === 0 ? [] : await states.logits(rows);
    return wanted.map(({ part, first, logitStart, numLogits }) => {
      const own = logits.slice(logitStart, logitStart + numLogits);
      const lacking = degraded.filter((row) => row >= first && row < first + part.tokenIds.length);
      return {
        ...this.output(part, own, first, routings),
        ...(lacking.length > 0 && { degraded: lacking.map((row) => row - first + part.position) }),
      };
    });
  }

  /** `logits` of this part: of every token, or of the last, or none. */
  private output(
    part: PlanPart,
    logits: readonly LogitRow[],
    first: number,
    routings: readonly Routing[],
  ): SequenceOutput {
    const state = this.sequence(part.sequence);
    const { moe } = this.parts.model.spec;
    state.tokenIds.length = part.position;
    state.tokenIds.push(...part.tokenIds);
    if (part.isReplay) return { sequence: part.sequence, tokenId: null };
    const { wants, sampling } = state;
    if (part.sample) state.sampled = sampleToken(logits.at(-1)!, sampling, state.tokenIds);
    return {
      sequence: part.sequence,
      tokenId: part.sample ? state.sampled : null,
      ...(wants.routedExperts && {
        routedExperts: routedExperts(routings, first, part.tokenIds.length, moe.gate.numTopk),
      }),
      ...(wants.promptLogprobs && part.isPrompt && { promptLogprobs: promptLogprobs(part, logits) }),
      ...(wants.logits && { logits: joined(logits) }),
    };
  }
}

/** Per MoE layer [T·K] from the parts' [n·L·K]; nothing where the gates choose. */
function forcedExperts(parts: readonly PlanPart[], spec: ModelSpec): { readonly forcedExperts?: Int32Array[] } {
  if (parts[0]?.forcedExperts === undefined) return {};
  const { numTopk } = spec.moe.gate;
  const numLayers = moeLayersOf(spec).length;
  const numTokens = parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const layers = Array.from({ length: numLayers }, () => new Int32Array(numTokens * numTopk));
  let row = 0;
  for (const { forcedExperts: forced, tokenIds } of parts) {
    for (let i = 0; i < tokenIds.length; i++, row++) {
      for (const [l, topkIdx] of layers.entries()) {
        const from = (i * numLayers + l) * numTopk;
        topkIdx.set(forced!.subarray(from, from + numTopk), row * numTopk);
      }
    }
  }
  return { forcedExperts: layers };
}

/** [n·L·K] of rows first … first + n − 1. */
function routedExperts(routings: readonly Routing[], first: number, numTokens: number, numTopk: number): Uint16Array {
  const experts = new Uint16Array(numTokens * routings.length * numTopk);
  let next = 0;
  for (let row = first; row < first + numTokens; row++) {
    for (const { topkIdx } of routings) {
      experts.set(topkIdx.subarray(row * numTopk, (row + 1) * numTopk), next);
      next += numTopk;
    }
  }
  return experts;
}

function promptLogprobs(part: PlanPart, logits: readonly LogitRow[]): Float64Array {
  return Float64Array.from(part.tokenIds, (_, i) => {
    const next = part.tokenIds[i + 1] ?? part.nextPromptToken;
    return next === null ? NaN : logProbability(logits[i]!.values(), next);
  });
}

/** [rows·V] */
function joined(rows: readonly LogitRow[]): Float32Array {
  const vocabSize = rows[0]?.vocabSize ?? 0;
  const values = new Float32Array(rows.length * vocabSize);
  for (const [i, row] of rows.entries()) values.set(row.values(), i * vocabSize);
  return values;
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
