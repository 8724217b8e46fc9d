/** A whole job in one process: every rank's model and executor over a local mesh, driven by plans that the test writes. */
import { smallMemories } from './small_memories.js';
import { createAllToAll, type Reduce, type WireOptions } from '../../../comm/all_to_all/all_to_all.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import type { Mesh } from '../../../comm/mesh/mesh.js';
import type { ExpertRoom } from '../../../experts/layer/migration.js';
import { CountGather } from '../../../experts/placement/count_gather.js';
import { LoadMonitor } from '../../../experts/load/load_monitor.js';
import type { Routing } from '../../../compute/base/gate_spec.js';
import { createPlacement, type Placement, type PlacementStrategy } from '../../../experts/placement/placement.js';
import { Stopwatch } from '../../../compute/base/stopwatch.js';
import type { WeightSource } from '../../../compute/base/weight_source.js';
import { selectBackend, type BackendName } from '../../../compute/tfjs/tf.js';
import { RankExecutor } from '../../../lib/rank/rank_executor.js';
import type { RowsWatch } from '../../../lib/rank/handover/rows_watch.js';
import { GREEDY, type SamplingParams } from '../../../lib/protocol/sampling.js';
import type { PlanPart, SequenceOutput, SequenceStart } from '../../../lib/protocol/step_plan.js';
import { loadModel, type TierChoice } from '../../../lib/model/load_model.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { ropeWithin } from '../../../lib/model/spec/rope_angles.js';
import { expertDtypeIn, residenceOf, type ResidenceChoice } from '../../../lib/model/weights/residence.js';
import type { Spread } from '../../../lib/model/weights/spread.js';
import { heldExperts } from '../../../lib/model/weights/sliced_experts.js';
import { heldCountsOf, heldTopkOf, withSlices } from '../../../lib/model/spec/slices.js';
import { moeLayersOf, type MlaForm, type ModelSpec } from '../../../lib/model/spec/spec.js';
import type { Transformer } from '../../../lib/model/transformer.js';
import { rankGate, type JobGate } from '../../../lib/plugins/gates.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { replicaChooserNamed } from '../../../lib/plugins/replica_choices.js';
import { openWeights, type ModelWeights } from '../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';

export interface LocalJobOptions {
  readonly numRanks?: number;
  readonly placement?: PlacementStrategy;
  readonly reduce?: Reduce;
  readonly mla?: MlaForm;
  readonly backend?: BackendName;
  readonly blockSize?: number;
  readonly microBatches?: number;
  readonly wire?: WireOptions;
  /** Default 'balanced'. */
  readonly replicaChoice?: string;
  /** What plug-ins brought. Default nothing. */
  readonly plugins?: PluginRegistry;
  readonly gate?: JobGate | null;
  readonly residence?: Partial<ResidenceChoice>;
  /** Room for the logits of a step. Default: a rank's own. */
  readonly maxLogitBytes?: number;
  /** How many memories each rank's dense part is spread over, which are as small as that takes. Default: one that is large. */
  readonly numMemories?: number;
  /** Of the longest sequence. Default: what the model can. */
  readonly maxTokens?: number;
  /** What is told which keys and values a rank's steps write. Default: nobody. */
  readonly rows?: (model: Transformer, rank: number) => Promise<RowsWatch | null>;
  /** Where not all experts are resident. Default: they are. */
  readonly tiers?: TierChoice | null;
  /** Into which each expert is divided. Default 1. */
  readonly slices?: number;
  /** Instead: where each part lies, in memories that are large. */
  readonly spread?: Spread;
}

const AS_STORED: ResidenceChoice = { compute: 'auto', experts: 'auto', dense: 'auto' };

export interface LoadRanksOptions extends Omit<LocalJobOptions, 'placement' | 'numRanks' | 'slices'> {
  readonly spec: ModelSpec;
  readonly placement: Placement;
  /** Of those who load, in their order. */
  readonly meshes: readonly Mesh[];
  /** How long a call waits for its peers. Default 10000. */
  readonly timeoutMs?: number;
  readonly later?: LaterExperts;
}

/** What becomes of experts that a rank is to read while it runs. Default: it reads them. */
export interface LaterExperts {
  /** How many it has room for. */
  readonly room?: (rank: number, numOwn: number, numAll: number) => number;
  /** Before it reads one; may reject. */
  readonly reading?: (rank: number) => void | Promise<void>;
}

/** Every rank's model and executor over its mesh; the backend is selected already. */
export async function loadRanks(
  modelDir: string,
  { spec, placement, meshes, ...options }: LoadRanksOptions,
): Promise<{
  readonly models: Transformer[];
  readonly executors: RankExecutor[];
  /** By rank: of the checkpoint, while it loaded. */
  readonly bytesRead: number[];
  readonly close: () => Promise<void>;
}> {
  const { numExperts } = spec.moe.gate;
  const numTopk = heldTopkOf(spec);
  const numLayers = moeLayersOf(spec).length;
  const { mla = 'auto', reduce = 'rank', blockSize = 16, timeoutMs = 10_000, microBatches = 1, wire = {} } = options;
  const { replicaChoice = 'balanced', gate = null, plugins = new PluginRegistry() } = options;
  const models: Transformer[] = [];
  const bytesRead: number[] = [];
  const open: ModelWeights[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(open.map((weights) => weights.close()));
  };
  const loading = Promise.all(
    meshes.map(async (mesh, i) => {
      const { rank } = mesh;
      const weights = await openWeights(modelDir, spec);
      open.push(weights);
      const clock = new Stopwatch();
      const load = new LoadMonitor(numLayers, numExperts);
      const rankLoad = new LoadMonitor(numLayers, placement.numRanks);
      const residence = residenceOf({ ...AS_STORED, ...options.residence }, options.backend ?? 'wasm', weights);
      const memories =
        options.numMemories === undefined
          ? { spread: options.spread ?? null }
          : smallMemories({ spec, weights, residence, blockSize }, options.numMemories);
      const loaded = await loadModel({
        ...{ spec, weights, placement, mla, residence, blockSize, clock, load, rankLoad, microBatches },
        rank,
        gate: gate && rankGate(gate, plugins, spec, rank),
        tiers: options.tiers ?? null,
        ...memories,
      });
      bytesRead[i] = weights.checkpoint.bytesRead;
      const checkpoint = heldExperts(weights, spec, { as: expertDtypeIn(spec, residence.experts) });
      const { later = {} } = options;
      const disk: WeightSource = {
        expert: async (...wanted) => {
          await later.reading?.(rank);
          return checkpoint.expert(...wanted);
        },
        checkUnchanged: () => checkpoint.checkUnchanged(),
      };
      const room: ExpertRoom = (numOwn, numAll) => later.room?.(rank, numOwn, numAll) ?? numOwn;
      const { slotsPerRank } = placement;
      const shape = { hidden: spec.hiddenSize, numTopk, slotsPerRank };
      const ep = createAllToAll(mesh, { ...shape, reduce, wire, timeoutMs });
      const countGather = new CountGather(mesh, timeoutMs);
      const replicas = replicaChooserNamed(replicaChoice, plugins, { rank }, { gather: countGather.gather, timeoutMs });
      const model = loaded({ ep, replicas });
      models[i] = model;
      const rows = (await options.rows?.(model, rank)) ?? null;
      const shared = { placement, ep, mesh, countGather, timeoutMs, disk, room, rows, clock, load, rankLoad };
      const { maxLogitBytes } = options;
      return new RankExecutor({ model, ...shared, ...(maxLogitBytes !== undefined && { maxLogitBytes }) });
    }),
  );
  const executors = await loading.catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return { models, executors, bytesRead, close };
}

/** The job adds the blocks. */
export type TestPart = Omit<PlanPart, 'blocks'>;

export interface LocalJob {
  readonly spec: ModelSpec;
  readonly executors: readonly RankExecutor[];
  readonly models: readonly Transformer[];
  /** By rank: of the checkpoint, while it loaded. */
  readonly bytesRead: readonly number[];
  /** One step; `parts` by rank. A sequence's blocks are numbered by it ({@link blocksOf}). */
  step(
    parts: readonly (readonly TestPart[])[],
    begin?: readonly (readonly SequenceStart[])[],
  ): Promise<SequenceOutput[][]>;
  /** A sequence of rank 0 is over. */
  end(sequence: number): void;
  /** The gates' choices and weights for a prompt on rank 0 of a job of one, by MoE layer. */
  routingsOf(prompt: readonly number[]): Promise<readonly Routing[]>;
  close(): Promise<void>;
}

export async function startLocalJob(modelDir: string, options: LocalJobOptions = {}): Promise<LocalJob> {
  await selectBackend(options.backend ?? 'wasm');
  const numRanks = options.numRanks ?? 1;
  const { config } = await readModelFiles(modelDir);
  const whole = modelSpecOf(config);
  const near = { ...whole, rope: ropeWithin(whole.rope, options.maxTokens ?? whole.maxPositions) };
  const spec = withSlices(near, options.slices ?? 1);
  const numExperts = heldCountsOf(spec);
  const numLayers = moeLayersOf(spec).length;
  const placement = createPlacement(options.placement ?? 'linear', { numLayers, numExperts, numRanks });
  const meshes: Mesh[] = createLocalMeshes(numRanks, { microBatches: options.microBatches ?? 1 });
  const { models, executors, bytesRead, close } = await loadRanks(modelDir, { ...options, spec, placement, meshes });
  const { blockSize } = models[0]!.cache;
  let step = 0;
  return {
    spec,
    executors,
    models,
    bytesRead,
    async step(parts, begin = []) {
      step++;
      const idle = executors.flatMap((_, rank) => ((parts[rank] ?? []).length === 0 ? [rank] : []));
      const plans = executors.map((_, rank) => ({
        ...{ step, epoch: 0, placementVersion: 0, begin: begin[rank] ?? [], idle },
        parts: (parts[rank] ?? []).map((part) => ({ ...part, blocks: appendedBlocks(part, blockSize) })),
      }));
      const results = await Promise.all(executors.map((executor, rank) => executor.run(plans[rank]!)));
      return results.map(({ outputs }) => [...outputs]);
    },
    end(sequence) {
      executors[0]!.free({ blocks: blocksOf(sequence), sequences: [sequence] });
    },
    async routingsOf(prompt) {
      step++;
      const model = models[0]!;
      const blocks = blocksOf(0);
      const part = { rowStart: 0, numTokens: prompt.length, position: 0, blocks, isPrompt: true };
      const tag = { step, epoch: 0 };
      const request = { tokenIds: Int32Array.from(prompt), parts: [part], placement, tag };
      const { states, routings } = await model.forward(request);
      states?.dispose();
      model.cache.free(blocks);
      return routings;
    },
    async close() {
      for (const executor of executors) executor.dispose();
      await close();
      await Promise.all(meshes.map((mesh) => mesh.close()));
    },
  };
}

/** A sequence that wants everything. */
export const startOf = (sequence: number, sampling: SamplingParams = GREEDY): SequenceStart => ({
  ...{ sequence, blocks: [], tokenIds: [], numPromptTokens: 0, endTokenIds: [], sampling },
  wants: { routedExperts: true, logprobs: null, promptLogprobs: 0, logits: true },
});

const BLOCKS_PER_SEQUENCE = 32;

/** All blocks that a sequence may come to hold, in order of position. */
export const blocksOf = (sequence: number): number[] =>
  Array.from({ length: BLOCKS_PER_SEQUENCE }, (_, i) => sequence * BLOCKS_PER_SEQUENCE + i);

const appendedBlocks = ({ sequence, position, tokenIds }: TestPart, blockSize: number): number[] =>
  blocksOf(sequence).slice(Math.ceil(position / blockSize), Math.ceil((position + tokenIds.length) / blockSize));

export const promptPart = (sequence: number, tokenIds: readonly number[], position = 0, sample = true): TestPart => ({
  sequence,
  tokenIds,
  position,
  isPrompt: true,
  sample,
  nextPromptToken: null,
  isReplay: false,
});

export const outputPart = (sequence: number, tokenId: number, position: number): TestPart => ({
  sequence,
  tokenIds: [tokenId],
  position,
  isPrompt: false,
  sample: true,
  nextPromptToken: null,
  isReplay: false,
});
