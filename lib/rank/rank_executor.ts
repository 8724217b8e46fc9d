/** Runs step plans on one rank's model: keeps its sequences and their KV cache, samples, and reports. No sockets, no processes. */
import type { AllToAll } from '../../comm/all_to_all/all_to_all.js';
import type { CountGather } from '../../experts/placement/count_gather.js';
import type { Routing } from '../../compute/base/gate_spec.js';
import type { LoadMonitor } from '../../experts/load/load_monitor.js';
import { choicesOf } from '../../experts/load/recording.js';
import type { ExpertRoom } from '../../experts/layer/migration.js';
import type { Mesh } from '../../comm/mesh/mesh.js';
import { asRank } from '../../base/ids.js';
import { degradedRows, type Placement } from '../../experts/placement/placement.js';
import { slicedChoices } from '../../experts/placement/slices.js';
import type { Stopwatch } from '../../compute/base/stopwatch.js';
import { expertDtype } from '../../compute/base/expert_dtypes.js';
import type { ExpertShape } from '../../compute/base/weight_rows.js';
import { numKernelRuns, tensorMemory, tensorTransfers } from '../../compute/tfjs/tf.js';
import type { WeightSource } from '../../compute/base/weight_source.js';
import type { Timeline } from '../metrics/timeline.js';
import type { HiddenStates, SequencePart } from '../model/decoder/decoder.js';
import { expertOf, heldTopkOf, numSlicesOf } from '../model/spec/slices.js';
import { attentionLayersOf, expertSizesOf, moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { MAX_RARE_BYTES } from '../model/weights/dense_sizes.js';
import type { ForwardRequest, ForwardResult, Transformer } from '../model/transformer.js';
import { InternalError } from '../../base/coded_error.js';
import type { RowsWatch } from './handover/rows_watch.js';
import { KvMover } from './kv_mover.js';
import { PartOutput, type SequenceState } from './part_output.js';
import { RankPlacement } from './rank_placement.js';
import type { RankStanding } from '../protocol/standing.js';
import { StepLook } from './step_look.js';
import {
  SAMPLED,
  type EpochOrder,
  type FreeOrder,
  type GatherReport,
  type MoveOrder,
  type PlanPart,
  type RankStats,
  type SequenceOutput,
  type StepPlan,
  type StepResult,
} from '../protocol/step_plan.js';

/** What an executor drives. */
export interface RankExecutorParts {
  readonly model: Transformer;
  readonly placement: Placement;
  readonly ep: AllToAll;
  /** What `ep` runs over. */
  readonly mesh: Pick<Mesh, 'rank' | 'size' | 'send' | 'receive' | 'advanceEpoch'>;
  /** What the model's choice of replicas gathers counts with. */
  readonly countGather: Pick<CountGather, 'enterEpoch'>;
  /** How long rows of an expert that moves are waited for. */
  readonly timeoutMs: number;
  /** Where experts come from that no rank holds any more. */
  readonly disk: WeightSource;
  /** For these. Default: for any number. */
  readonly room?: ExpertRoom | undefined;
  readonly clock: Stopwatch;
  /** Told what steps write into the cache. Default: nobody. */
  readonly rows?: RowsWatch | null;
  /** Collects what ran when; null: nobody asked. */
  readonly timeline?: Timeline | null;
  /** Choices per logical expert. */
  readonly load: LoadMonitor;
  /** Choices per rank that computes them. */
  readonly rankLoad: LoadMonitor;
  /** Room for logits: those of a step that needs more come in several rounds. Default: what a rank's footprint leaves for them. */
  readonly maxLogitBytes?: number;
}

/** How often the process’s memory is asked for: that takes as long as a third of a small step. */
const RSS_EVERY_STEPS = 256;

/** One rank's part of every step. */
export class RankExecutor {
  private readonly sequences = new Map<number, SequenceState>();
  private readonly placement: RankPlacement;
  private readonly kv: KvMover;
  /** Those with keys and values, as the model numbers them. */
  private readonly attentionLayers: readonly number[];
  private entered: Pick<EpochOrder, 'epoch' | 'members'> = { epoch: 0, members: [] };
  private numReports = 0;
  private peakRssBytes = 0;

  constructor(private readonly parts: RankExecutorParts) {
    const { model, placement, mesh, timeoutMs, disk, room } = parts;
    const { spec, shard } = model;
    const sizes = expertSizesOf(spec);
    const shapeOf = (moeLayer: number, logical: number): ExpertShape => ({
      ...sizes,
      dtype: expertDtype(shard.dtypes, moeLayer, expertOf(spec, logical)),
    });
    const layers = moeLayersOf(spec);
    this.placement = new RankPlacement(placement, { shard, mesh, shapeOf, layers, timeoutMs, disk, room });
    this.kv = new KvMover({ cache: model.cache, mesh, timeoutMs });
    this.attentionLayers = attentionLayersOf(spec);
  }

  /**
   * One step. Rejects with what the mesh, the model or the plan got wrong; nothing of the step is sampled then, and what it wrote into the
   * cache is overwritten when the same tokens run again.
   */
  async run(plan: StepPlan, signal?: AbortSignal): Promise<StepResult> {
    const moving = this.placement.begin(plan, signal);
    const movingKv = this.kv.begin(plan, signal);
    try {
      const result = await this.compute(plan, signal);
      const moved = await moving.end();
      const kv = await movingKv.end();
      await this.parts.model.settle(); // rows of experts that left meanwhile may be from disk
      return { ...result, ...(moved !== null && { moved }), ...(kv !== null && { kv }) };
    } catch (error) {
      moving.abort();
      movingKv.abort();
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
      this.sequences.set(start.sequence, { ...start, blocks: [...start.blocks], tokenIds: [...start.tokenIds] });
      this.parts.rows?.began(start);
    }
    const parts = plan.parts.map((part) => this.withSampled(part));
    const looks = this.looksOf(parts, plan);
    const own = this.sequenceParts(parts);
    const { states, routings } = await this.forward(own, {
      tokenIds: Int32Array.from(parts.flatMap((part) => part.tokenIds)),
      parts: own,
      placement: this.placement.current,
      tag: { step: plan.step, epoch: plan.epoch },
      idle: plan.idle && new Set(plan.idle.map(asRank)),
      capacities: plan.capacities,
      forcedExperts: forcedExperts(parts, model.spec),
      looks,
      signal,
    });
    const told = { routings, looks };
    await model.settle();
    const outputs = states === null ? [] : await this.outputs(parts, states, told).finally(() => states.dispose());
    clock.lap('sampling');
    const numSkipped = routings.reduce((sum, { numSkipped: skipped = 0 }) => sum + skipped, 0);
    return {
      step: plan.step,
      outputs,
      load: load.snapshot().map((counts) => [...counts]),
      rankLoad: rankLoad.snapshot().map((counts) => [...counts]),
      ...(numSkipped > 0 && { numSkipped }),
      phasesMs: clock.take(),
      stats: this.stats(),
      ...(timeline != null && { timeline: timeline.take() }),
    };
  }

  /** All layers; who watches hears of rows as soon as a layer has written them. */
  private async forward(parts: readonly SequencePart[], request: ForwardRequest): Promise<ForwardResult> {
    const { model, rows = null } = this.parts;
    if (rows === null) return model.forward(request);
    const attended = (layer: number): void => {
      const place = this.attentionLayers.indexOf(layer);
      if (place >= 0) rows.wrote(place, parts);
    };
    try {
      const result = await model.forward({ ...request, attended });
      rows.wrote(null, parts); // who began to watch meanwhile missed some layers
      return result;
    } catch (error) {
      rows.abandoned(parts);
      throw error;
    }
  }

  /** Takes a step towards another placement. No step may be running. */
  move(move: MoveOrder): void {
    this.placement.move(move);
  }

  /** Reads what a placement to come wants from disk, and says how far that is until it is over or `signal` is aborted. No step may be running. */
  gather(version: number, signal: AbortSignal, tell: (report: GatherReport) => void): Promise<void> {
    return this.placement.gather(version, signal, tell);
  }

  /** Leaves everything of earlier epochs behind and goes on with these members, this rank among them. No step may be running. */
  enterEpoch({ epoch, members, placement }: EpochOrder): void {
    this.entered = { epoch, members };
    const { ep, mesh, countGather } = this.parts;
    const present = new Set(members);
    const seats = Array.from({ length: mesh.size }, (_, seat) => asRank(seat));
    const absent = seats.filter((seat) => !present.has(seat) && seat !== mesh.rank);
    for (const rank of ep.maskedRanks()) if (present.has(rank)) ep.clearMask(rank);
    for (const rank of absent) ep.maskRank(rank);
    mesh.advanceEpoch(epoch);
    countGather.enterEpoch(epoch, absent);
    this.placement.enter(absent, placement);
    this.kv.drop();
  }

  /** Where it stands between two steps: what another head has to know to go on. */
  get standing(): RankStanding {
    const { epoch, members } = this.entered;
    const { version, phy2log, slotsPerRank } = this.placement.current;
    const { rank } = this.parts.mesh;
    const own = phy2log.map((table) => table.slice(rank * slotsPerRank, (rank + 1) * slotsPerRank));
    return { epoch, members, version, slots: own };
  }

  /** Forgets all sequences, and what these blocks hold. No step may be running. */
  forget(blocks: readonly number[]): void {
    this.free({ blocks, sequences: [...this.sequences.keys()] });
  }

  /** What this rank holds, computed, sent and waited for. */
  stats(): RankStats {
    const { numTensors, numBytes } = tensorMemory();
    const kernels = this.parts.model.kernelStats();
    const tiers = this.parts.model.tierStats();
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
      ...(tiers !== null && { tiers }),
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
  free({ blocks, sequences, states = [] }: FreeOrder): void {
    const { cache } = this.parts.model;
    cache.free(blocks);
    this.kv.forget(blocks);
    cache.states?.forget(states);
    cache.states?.end(sequences);
    for (const sequence of sequences) this.sequences.delete(sequence);
  }

  /** A part with the token that the head doesn't know yet. */
  private withSampled(part: PlanPart): PlanPart {
    if (part.tokenIds[0] !== SAMPLED) return part;
    return { ...part, tokenIds: [this.sequence(part.sequence).tokenIds[part.position]!] };
  }

  private sequenceParts(parts: readonly PlanPart[]): SequencePart[] {
    const { blockSize } = this.parts.model.cache;
    let rowStart = 0;
    return parts.map(({ sequence, tokenIds, position, isPrompt, blocks: appended, keeps = [] }) => {
      const { blocks } = this.sequence(sequence);
      // A step that was abandoned appended blocks already: they may be others now.
      blocks.length = Math.min(blocks.length, Math.ceil(position / blockSize));
      blocks.push(...appended);
      const state = { sequence, keeps };
      const part = { rowStart, numTokens: tokenIds.length, position, blocks, isPrompt, state };
      rowStart += tokenIds.length;
      return part;
    });
  }

  /** Null: nobody looks at this step. */
  private looksOf(parts: readonly PlanPart[], { outputs }: StepPlan): StepLook | null {
    const isLooking = outputs !== undefined || parts.some(({ sequence }) => this.sequence(sequence).wants.looks);
    if (!isLooking) return null;
    const sequences = parts.map((part) => ({ part, ...this.sequence(part.sequence) }));
    return new StepLook(sequences, outputs ?? [], this.parts.model.spec);
  }

  private sequence(id: number): SequenceState {
    const state = this.sequences.get(id);
    if (state === undefined) throw new InternalError(`sequence ${id} is unknown here`);
    return state;
  }

  /** Samples and reports, with one trip through the head of the model for all sequences that need logits, where there is room for them. */
  private async outputs(
    parts: readonly PlanPart[],
    states: HiddenStates,
    { routings, looks }: { readonly routings: readonly Routing[]; readonly looks: StepLook | null },
  ): Promise<SequenceOutput[]> {
    const { spec } = this.parts.model;
    const { numTopk } = spec.moe.gate;
    const chosen = routings.map(({ topkIdx }) => slicedChoices(topkIdx, numSlicesOf(spec)));
    const degraded = degradedRows(this.placement.current, chosen, heldTopkOf(spec));
    let rowStart = 0;
    const outputs = parts.map((part) => {
      const first = rowStart;
      rowStart += part.tokenIds.length;
      return new PartOutput(part, this.advanced(part), first);
    });
    const wanted = outputs.flatMap((output) => output.rows.map((row) => ({ output, row })));
    for (const round of this.rounds(wanted)) {
      const logits = await states.logits(round.map(({ row }) => row));
      for (const [i, { output }] of round.entries()) output.take(logits[i]!);
    }
    return outputs.map((output, i) => output.result({ routings, numTopk, degraded, tables: looks?.tablesOf(i) ?? [] }));
  }

  /** As many at once as there is room for their logits. */
  private rounds<T>(wanted: readonly T[]): T[][] {
    const { model, maxLogitBytes = MAX_RARE_BYTES } = this.parts;
    const size = Math.max(1, Math.floor(maxLogitBytes / (4 * model.spec.vocabSize)));
    const numRounds = Math.ceil(wanted.length / size);
    return Array.from({ length: numRounds }, (_, i) => wanted.slice(i * size, (i + 1) * size));
  }

  /** A sequence with the tokens of its part. */
  private advanced({ sequence, position, tokenIds }: PlanPart): SequenceState {
    const state = this.sequence(sequence);
    state.tokenIds.length = position;
    state.tokenIds.push(...tokenIds);
    return state;
  }
}

/** Per MoE layer [T·K] from the parts' [n·L·K]; nothing where the gates choose. */
function forcedExperts(parts: readonly PlanPart[], spec: ModelSpec): Int32Array[] | undefined {
  if (parts[0]?.forcedExperts === undefined) return undefined;
  const { numTopk } = spec.moe.gate;
  const numLayers = moeLayersOf(spec).length;
  const numTokens = parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const layers = Array.from({ length: numLayers }, () => new Int32Array(numTokens * numTopk));
  let row = 0;
  for (const { forcedExperts: forced, tokenIds } of parts) {
    for (let i = 0; i < tokenIds.length; i++, row++) {
      for (const [l, topkIdx] of layers.entries()) {
        const from = (i * numLayers + l) * numTopk;
        topkIdx.set(choicesOf(forced!.subarray(from, from + numTopk)), row * numTopk);
      }
    }
  }
  return layers;
}
