/** Decoding by one rank without an engine around it: the model's layers, one token at a time, by kernels and by TensorFlow.js. */
import { createAllToAll } from '../../comm/all_to_all/all_to_all.js';
import { asRank } from '../../base/ids.js';
import { createLocalMeshes } from '../../comm/mesh/local_mesh.js';
import { LoadMonitor } from '../../experts/load/load_monitor.js';
import { createPlacement, type Placement } from '../../experts/placement/placement.js';
import { createReplicaChooser } from '../../experts/placement/replica_choice.js';
import { Stopwatch } from '../../compute/base/stopwatch.js';
import { numKernelRuns, tensorTransfers } from '../../compute/tfjs/tf.js';
import { loadModel } from '../../lib/model/load_model.js';
import { modelSpecOf } from '../../lib/model/families/registry.js';
import { residenceOf, type Compute } from '../../lib/model/weights/residence.js';
import { moeLayersOf, type ModelSpec } from '../../lib/model/spec/spec.js';
import type { Transformer } from '../../lib/model/transformer.js';
import { openWeights } from '../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../lib/weights/model_files.js';
import type { ComputeOptions } from './options.js';
import { inTurns } from './turns.js';

/** What decoding with one way of computing takes; medians, the best in the field named so. */
export interface DecodeRow {
  readonly compute: Compute;
  /** Time per token over the number of layers: embedding, layers and logits. */
  readonly us_per_layer: number;
  readonly best_us_per_layer: number;
  readonly tokens_per_s: number;
  /** Per layer and token. */
  readonly tfjs_ops: number;
  readonly kernel_calls: number;
  readonly copies: number;
}

const BLOCK_SIZE = 16;

/** One row for each of `computes`: the same tokens are decoded in turns, each run from an empty cache. */
export async function measureDecode(
  options: ComputeOptions,
  computes: readonly Compute[],
  signal: AbortSignal,
): Promise<DecodeRow[]> {
  const { config } = await readModelFiles(options.model);
  const spec = modelSpecOf(config);
  const rows: DecodeRow[] = [];
  const decoders = await Promise.all(computes.map((compute) => openDecoder(options, spec, compute)));
  const numTokens = Math.min(options.decodeTokens, spec.maxPositions);
  const runs = new Map(decoders.map((decoder, i) => [computes[i]!, () => decoder.decode(numTokens)]));
  const times = await inTurns(runs, options.repeats, signal, options.clock);
  for (const [i, compute] of computes.entries()) {
    const perLayer = numTokens * spec.layers.length;
    const [ms, bestMs] = [times.median.get(compute)!, times.best.get(compute)!];
    const counts = await decoders[i]!.count(numTokens);
    rows.push({
      compute,
      us_per_layer: (1000 * ms) / perLayer,
      best_us_per_layer: (1000 * bestMs) / perLayer,
      tokens_per_s: (1000 * numTokens) / ms,
      tfjs_ops: counts.ops / perLayer,
      kernel_calls: counts.calls / perLayer,
      copies: counts.copies / perLayer,
    });
  }
  for (const decoder of decoders) await decoder.close();
  return rows;
}

const numCrossings = (): number => {
  const { numUploads, numDownloads } = tensorTransfers();
  return numUploads + numDownloads;
};

interface RankDecoder {
  decode(numTokens: number): Promise<void>;
  count(numTokens: number): Promise<{ readonly ops: number; readonly calls: number; readonly copies: number }>;
  close(): Promise<void>;
}

async function openDecoder(
  { model: dir, backend }: ComputeOptions,
  spec: ModelSpec,
  compute: Compute,
): Promise<RankDecoder> {
  const weights = await openWeights(dir, spec);
  const { numExperts, numTopk } = spec.moe.gate;
  const numLayers = moeLayersOf(spec).length;
  const placement = createPlacement('linear', { numLayers, numExperts, numRanks: 1 });
  const [mesh] = createLocalMeshes(1);
  const loaded = await loadModel({
    ...{ spec, weights, placement, mla: 'auto', blockSize: BLOCK_SIZE, rank: asRank(0), clock: new Stopwatch() },
    residence: residenceOf({ compute, experts: 'auto', dense: 'auto' }, backend, weights),
    load: new LoadMonitor(numLayers, numExperts),
    rankLoad: new LoadMonitor(numLayers, 1),
  });
  await weights.close();
  const { slotsPerRank } = placement;
  const ep = createAllToAll(mesh!, { hidden: spec.hiddenSize, numTopk, slotsPerRank });
  const replicas = createReplicaChooser('local_first', { rank: 0 }, () => Promise.reject(new Error('one rank')));
  const model = loaded({ ep, replicas });
  const steps = { next: 0 };
  const decode = (numTokens: number): Promise<void> => decodeTokens(model, placement, numTokens, steps);
  return {
    decode,
    async count(numTokens) {
      const [before, ops, crossings] = [model.kernelStats(), numKernelRuns(), numCrossings()];
      await decode(numTokens);
      const after = model.kernelStats();
      const [calls, copies] = [
        after.numCalls - before.numCalls,
        after.numCopies - before.numCopies + numCrossings() - crossings,
      ];
      return { ops: numKernelRuns() - ops, calls, copies };
    },
    async close() {
      model.dispose();
      await mesh!.close();
    },
  };
}

/** From an empty cache; every token is the most likely one after those before it. */
async function decodeTokens(
  model: Transformer,
  placement: Placement,
  numTokens: number,
  steps: { next: number },
): Promise<void> {
  const blocks = Array.from({ length: Math.ceil(numTokens / BLOCK_SIZE) }, (_, i) => i);
  let token = 0;
  for (let position = 0; position < numTokens; position++) {
    const part = { rowStart: 0, numTokens: 1, position, blocks, isPrompt: false };
    const request = { tokenIds: Int32Array.of(token), parts: [part], placement, tag: { step: steps.next++, epoch: 0 } };
    const { states } = await model.forward(request);
    const [logits] = await states!.logits([0]);
    token = logits!.best(1)[0]!;
    states!.dispose();
  }
  model.cache.free(blocks);
}
