import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asRank } from '../../../../base/ids.js';
import { expertBytes, expertsScratchBytes } from '../../../../compute/wasm/experts/kernel_expert.js';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { withRedundancy } from '../../../../experts/placement/redundancy.js';
import { withSeats } from '../../../../experts/placement/seats.js';
import { bytesOfPart, denseSizesOf, undividedParts } from '../../../../lib/model/weights/dense_sizes.js';
import { residenceOf, type Residence } from '../../../../lib/model/weights/residence.js';
import { overridesOf } from '../../../../lib/model/weights/resident_overrides.js';
import {
  footprintAt,
  footprintOf,
  type Footprint,
  type FootprintOptions,
} from '../../../../lib/model/weights/footprint.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { withSlices } from '../../../../lib/model/spec/slices.js';
import { expertSizesOf, moeLayersOf } from '../../../../lib/model/spec/spec.js';
import { declaredWeights } from '../../../../lib/model/stored/declared_weights.js';
import { randomConfig } from '../../../../lib/model/random_config.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { changeTensors, copyModel } from '../../../kit/model/model_copy.js';
import { tinyModel } from '../../../kit/paths.js';
import { readSafetensors, writeSafetensors } from '../../../kit/model/safetensors_writer.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const KERNELS: Residence = { compute: 'kernels', experts: 'bf16', dense: 'auto' };
const TENSORS: Residence = { compute: 'tensors', experts: 'f32', dense: 'auto' };
async function bytesOfRank(dir: string, vocabSize?: number): Promise<Footprint> {
  const read = modelSpecOf((await readModelFiles(dir)).config);
  const spec = { ...read, vocabSize: vocabSize ?? read.vocabSize };
  const weights = await openWeights(dir, read);
  const shape = { numLayers: moeLayersOf(spec).length, numExperts: spec.moe.gate.numExperts, numRanks: 2 };
  const limits = { blockSize: 16, numKvBlocks: 10, maxNumBatchedTokens: 8, numThreads: 1, numMovingLayers: 0 };
  const placement = createPlacement('linear', shape);
  const footprint = footprintOf({ spec, weights, placement, rank: asRank(0), residence: KERNELS, ...limits });
  await weights.close();
  return footprint;
}

const totalOf = ({ dense, experts, moving, cache, activations, received }: Footprint): number =>
  dense + experts + moving + cache + activations + received;

/** With a rank of two. */
async function withCheckpoint(
  dir: string,
  use: (options: FootprintOptions, shape: { numLayers: number; numExperts: number }) => void | Promise<void>,
): Promise<void> {
  const spec = modelSpecOf((await readModelFiles(dir)).config);
  const weights = await openWeights(dir, spec);
  const shape = { numLayers: moeLayersOf(spec).length, numExperts: spec.moe.gate.numExperts };
  const placement = createPlacement('linear', { ...shape, numRanks: 2 });
  const limits = { blockSize: 16, numKvBlocks: 10, maxNumBatchedTokens: 8, numThreads: 1, numMovingLayers: 0 };
  await use({ spec, weights, placement, rank: asRank(0), residence: TENSORS, ...limits }, shape);
  await weights.close();
}

describe('the bytes of a rank', () => {
  it('hold states of sequences and blocks in layers without keys and values, and KV blocks in the others alone', () =>
    withTempFolder(async (dir) => {
      const { cases } = readConformance('lfm2_moe');
      await writeConformanceModel(dir, cases[0]!, new Map());
      await withCheckpoint(dir, (options) => {
        const kernels = { ...options, residence: KERNELS };
        const cacheOf = (numStates: number) => footprintOf({ ...kernels, numStates }).cache;
        const blocks = 4 * 10 * 16 * 2 * (2 * 2 * 12); // two layers with two KV heads of ten channels, in whole vectors
        expect(cacheOf(0)).to.equal(blocks);
        const int8 = { ...kernels, residence: { ...KERNELS, kv: 'int8' } } as const;
        expect(footprintOf(int8).cache).to.equal(10 * 16 * 2 * (2 * 2 * (4 + 12)));
        expect(footprintOf({ ...int8, blockSize: 15 }).cache, 'pairs of tokens').to.equal(footprintOf(int8).cache);
        expect(denseSizesOf(int8).layers[1]!.cache).to.equal(footprintOf(int8).cache / 2);
        const state = 4 * 2 * 40; // two inputs of forty channels
        expect(cacheOf(7)).to.equal(blocks + 7 * 2 * state);
        const { layers } = denseSizesOf({ ...kernels, numStates: 7 });
        expect(layers.map(({ cache }) => cache)).to.deep.equal([7 * state, blocks / 2, 7 * state, blocks / 2]);
      });
    }));

  it('are those of its tensors, by dtype, with whole groups per row and whole panels', async () => {
    const dir = tinyModel('tiny-qwen3-moe');
    const spec = modelSpecOf((await readModelFiles(dir)).config);
    const weights = await openWeights(dir, spec);
    const { numExperts } = spec.moe.gate;
    const numLayers = moeLayersOf(spec).length;
    const placement = createPlacement('linear', { numLayers, numExperts, numRanks: 2 });
    const options = {
      spec,
      weights,
      placement,
      rank: asRank(0),
      blockSize: 16,
      numKvBlocks: 10,
      maxNumBatchedTokens: 8,
      numThreads: 1,
    };
    const of = (residence: Residence, numMovingLayers = 0): Footprint =>
      footprintOf({ ...options, residence, numMovingLayers });
    const wholeOf =
      (unit: number) =>
      (n: number): number =>
        unit * Math.ceil(n / unit);
    const perExpert = (bytes: (columns: number) => number, outputs = wholeOf(16)): number =>
      2 * outputs(spec.moe.intermediateSize) * bytes(spec.hiddenSize) +
      outputs(spec.hiddenSize) * bytes(spec.moe.intermediateSize);
    const padded = wholeOf(32);
    const rows = {
      f32: (n: number) => 4 * padded(n),
      bf16: (n: number) => 2 * padded(n),
      int8: (n: number) => 1.125 * padded(n),
    };
    const numOwn = (numLayers * numExperts) / 2;
    for (const experts of ['f32', 'bf16', 'int8'] as const) {
      const footprint = of({ ...KERNELS, experts }, 1);
      expect(footprint.experts, experts).to.equal(numOwn * perExpert(rows[experts]));
      expect(footprint.moving, experts).to.equal((numExperts / 2) * perExpert(rows[experts]));
    }
    expect(of(TENSORS).experts).to.equal(numOwn * perExpert((n) => 4 * n, wholeOf(1)));
    const all = weights
      .names()
      .reduce((sum, name) => sum + weights.info(name).shape.reduce((a: number, b) => a * b, 1), 0);
    const { dense, experts } = of(TENSORS);
    expect(dense + 2 * experts).to.equal(4 * all);
    await weights.close();
  });

  it('hold no more experts than both caps say, however many there are, and places for copies besides', () =>
    withCheckpoint(tinyModel('tiny-deepseek-v3'), (options, { numLayers, numExperts }) => {
      const kernels = { ...options, residence: KERNELS, numMovingLayers: 2 };
      const [each, copy] = (['bf16', 'int4'] as const).map((dtype) =>
        expertBytes(expertSizesOf(options.spec), dtype, { kind: 'swiglu' }),
      ) as [number, number];
      const tiers = { ...kernels, maxResidentBytes: 5 * each + 1 };
      const of = (more: Partial<FootprintOptions>): [number, number] => {
        const { experts, moving } = footprintOf({ ...tiers, ...more });
        return [experts, moving];
      };
      const numHeld = (numLayers * numExperts) / 2;
      expect(of({})).to.deep.equal([5 * each, 0]);
      expect(of({ warm: { dtype: 'int4', maxBytes: 4 * copy - 1 } })).to.deep.equal([5 * each + 3 * copy, 0]);
      expect(of({ warm: { dtype: 'int4', maxBytes: 2 ** 40 } })).to.deep.equal([5 * each + numHeld * copy, 0]);
      const all = { maxResidentBytes: 2 ** 40, warm: { dtype: 'int4', maxBytes: 2 ** 40 } } as const;
      expect(of(all)).to.deep.equal([numHeld * each, 0]);
    }));

  it('with a limit have room for all experts of a type that lie on one rank, where that allows it', () =>
    withCheckpoint(tinyModel('tiny-deepseek-v3'), (options, { numLayers, numExperts }) => {
      const [few, many] = (['f32', 'int8'] as const).map((dtype) =>
        expertBytes(expertSizesOf(options.spec), dtype, { kind: 'swiglu' }),
      ) as [number, number];
      const ofLayer = Array.from({ length: numExperts }, (_, expert) => (expert < 2 ? 'f32' : 'int8'));
      const experts = Array.from({ length: numLayers }, () => ofLayer);
      const tiers = { ...options, residence: { ...KERNELS, experts }, maxResidentBytes: 2 ** 40 };
      const most = numLayers * (2 * few + (numExperts / 2) * many);
      expect(footprintOf(tiers).experts).to.equal(most);
    }));

  it('leave out what no model of this configuration has, also scalars', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      const file = join(dir, 'model.safetensors');
      const name = 'model.layers.0.self_attn.k_scale';
      const scalar = { name, dtype: 'F32', shape: [], bytes: new Uint8Array(4) };
      const before = await bytesOfRank(dir);
      await writeFile(file, writeSafetensors([...readSafetensors(await readFile(file)), scalar]));
      expect(await bytesOfRank(dir)).to.deep.equal(before);
    });
  });

  it('count logits of all tokens of a step, up to 256 MiB', async () => {
    const of = async (vocabSize: number): Promise<number> =>
      (await bytesOfRank(tinyModel('tiny-qwen3-moe'), vocabSize)).activations;
    expect((await of(150_000)) - (await of(100_000))).to.equal(4 * 8 * 50_000);
    expect((await of(2 ** 24)) - (await of(2 ** 22))).to.equal(2 ** 27);
    expect(await of(2 ** 24)).to.equal(await of(2 ** 25));
  });

  it('would be, with other numbers of ranks, those of the rank that holds most', async () => {
    for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
      await withCheckpoint(tinyModel(name), (options, shape) => {
        for (const [numRedundant, numMovingLayers] of [
          [0, 0],
          [0, 2],
          [5, 1],
        ] as const) {
          for (const residence of [KERNELS, TENSORS]) {
            const of = (numRanks: number, rank: number): FootprintOptions => {
              const placement = withRedundancy(createPlacement('linear', { ...shape, numRanks }), numRedundant);
              return { ...options, residence, numMovingLayers, placement, rank: asRank(rank) };
            };
            const at = footprintAt(of(3, 1));
            for (const numRanks of [1, 2, 3, 5, shape.numExperts, shape.numExperts + 3]) {
              if (numRedundant > shape.numExperts * (numRanks - 1)) {
                expect(at(numRanks)).to.equal(null);
                continue;
              }
              const ranks = Array.from({ length: numRanks }, (_, rank) => footprintOf(of(numRanks, rank)));
              const most = Math.max(...ranks.map(totalOf));
              expect(totalOf(at(numRanks)!), `${name} ${numRanks} ${numRedundant}`).to.equal(most);
            }
          }
        }
      });
    }
  });

  it('would be those too where experts have several types and layers several numbers of them', () => {
    const shape = { layers: 3, denseLayers: 0, hidden: 32, experts: [3, 4, 8], topk: 2, intermediate: 32, heads: 2 };
    const config = randomConfig('deepspeed_moe', { ...shape, vocab: 300, dtype: 'F32' });
    const spec = modelSpecOf(config);
    const weights = declaredWeights(spec, config);
    const choice = { compute: 'kernels', experts: 'bf16', dense: 'auto' } as const;
    const overrides = overridesOf({ 'layers.0.mlp.experts.2.*': 'f32', 'layers.2.*': 'int8' });
    const limits = { blockSize: 16, numKvBlocks: 10, maxNumBatchedTokens: 8, numThreads: 1, numMovingLayers: 0 };
    for (const residence of [KERNELS, TENSORS, residenceOf({ ...choice, overrides }, 'wasm', weights)]) {
      for (const numRedundant of [0, 5]) {
        const of = (numRanks: number, rank: number): FootprintOptions => {
          const linear = createPlacement('linear', { numLayers: 3, numExperts: shape.experts, numRanks });
          const placement = withRedundancy(linear, numRedundant);
          return { ...{ spec, weights, placement, rank: asRank(rank), residence }, ...limits };
        };
        for (const numRanks of numRedundant === 0 ? [1, 2, 3, 8] : [2, 3, 8]) {
          const ranks = Array.from({ length: numRanks }, (_, rank) => footprintOf(of(numRanks, rank)).experts);
          const { experts } = footprintAt(of(2, 0))(numRanks)!;
          expect(experts, `${numRanks} ${numRedundant}`).to.equal(Math.max(...ranks));
        }
      }
    }
  });

  it('count an embedding that is the head too twice where tensors compute', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      await changeTensors(dir, (tensor) => (tensor.name === 'lm_head.weight' ? undefined : tensor));
      await withCheckpoint(tinyModel('tiny-qwen3-moe'), async (own) => {
        await withCheckpoint(dir, ({ spec, weights }) => {
          const tied = { weights, spec: { ...spec, tieWordEmbeddings: true } };
          const denseOf = (residence: Residence, changed: Partial<FootprintOptions> = {}): number =>
            footprintOf({ ...own, residence, ...changed }).dense;
          const head = 4 * spec.vocabSize * spec.hiddenSize;
          const floats = { ...KERNELS, dense: 'f32' } as const;
          expect(denseOf(TENSORS, tied)).to.equal(denseOf(TENSORS));
          expect(denseOf(floats) - denseOf(floats, tied)).to.be.at.least(head);
        });
      });
    });
  });

  it('count what threads have for themselves, in each memory that experts are in', async () => {
    await withCheckpoint(tinyModel('tiny-qwen3-moe'), (options) => {
      const of = (changed: Partial<FootprintOptions>): Footprint =>
        footprintOf({ ...options, residence: KERNELS, ...changed });
      const [one, four] = [of({}), of({ numThreads: 4 })];
      const { spec, placement, maxNumBatchedTokens } = options;
      const { hiddenSize: hidden, moe } = spec;
      const { intermediateSize: intermediate } = moe;
      const numPairs = 2 * maxNumBatchedTokens * Math.min(moe.gate.numTopk, placement.slotsPerRank);
      const scratch = (numThreads: number): number =>
        expertsScratchBytes({ hidden, intermediate }, numPairs, numThreads);
      expect(four.receivedEach - one.receivedEach).to.be.closeTo(scratch(4) - scratch(1), 64);
      expect(four.activations).to.be.above(one.activations);
      expect(one.received).to.equal(one.receivedEach);
      expect(of({ residence: TENSORS, numThreads: 4 })).to.deep.equal(of({ residence: TENSORS }));
      const memoryBytes = one.dense + one.cache + one.activations + one.receivedEach + one.experts / 4;
      const several = of({ memoryBytes });
      expect(several.received).to.equal(2 * several.receivedEach);
      expect(totalOf(several) - totalOf(one)).to.equal(one.receivedEach);
    });
  });

  it('of slices are those of as many smaller experts', async () => {
    await withCheckpoint(tinyModel('tiny-mixtral'), ({ spec, ...options }, { numLayers, numExperts }) => {
      const residence = KERNELS;
      const bytesOf = (slices: number, numRanks: number): Footprint => {
        const placement = createPlacement('linear', { numLayers, numExperts: slices * numExperts, numRanks });
        return footprintOf({ ...options, residence, spec: withSlices(spec, slices), placement });
      };
      // 48 × 64 in slices of 32: nothing is filled up, and gate, up and down of a slice are whole panels and groups.
      expect(bytesOf(2, 1).experts).to.equal(bytesOf(1, 1).experts);
      expect(bytesOf(2, 16).experts).to.equal(bytesOf(1, 8).experts / 2);
      expect(bytesOf(2, 1).dense).to.equal(bytesOf(1, 1).dense);
    });
  });

  it('count what arrives from the ranks that there are, not from empty seats', async () => {
    await withCheckpoint(tinyModel('tiny-qwen3-moe'), (options) => {
      const slotsPerRank = options.placement.numExperts[0]!;
      const seated = (numSeats: number): FootprintOptions => {
        const placement = withSeats(options.placement, { numSeats, slotsPerRank });
        return { ...options, placement, residence: KERNELS, numMembers: 2 };
      };
      expect(footprintOf(seated(16))).to.deep.equal(footprintOf(seated(2)));
      expect(footprintOf({ ...seated(16), numMembers: 16 }).received).to.be.above(footprintOf(seated(16)).received);
    });
  });

  it('name the largest tensor: a matrix, or gate and up projections together', async () => {
    await withCheckpoint(tinyModel('tiny-qwen3-moe'), (options) => {
      const { spec } = options;
      const largest = (intermediateSize: number, residence = TENSORS): number =>
        footprintOf({ ...options, residence, spec: { ...spec, moe: { ...spec.moe, intermediateSize } } }).largestTensor;
      expect(largest(1)).to.equal(4 * Math.max(spec.vocabSize, 64) * spec.hiddenSize);
      expect(largest(10_000)).to.equal(4 * 2 * 10_000 * spec.hiddenSize);
      expect(largest(10_000, KERNELS)).to.equal(0);
    });
  });

  it('are spread over memories of the kernels: a step takes room in each, and the largest part is named', async () => {
    for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
      await withCheckpoint(tinyModel(name), (options) => {
        const of = (changed: Partial<FootprintOptions>): Footprint =>
          footprintOf({ ...options, residence: KERNELS, ...changed });
        const one = of({});
        expect(new Set(one.spread!.layers)).to.deep.equal(new Set([0]));
        const { step, logits, layers, embedding, head } = denseSizesOf({ ...options, residence: KERNELS });
        expect(one.activations).to.equal(step + logits);
        const memoryBytes = Math.ceil(one.dense / 2) + one.cache / 2 + step + logits;
        const several = of({ memoryBytes });
        const numMemories = several.spread!.reservedBytes.length;
        expect(numMemories).to.be.above(1);
        expect(several.activations).to.equal(numMemories * step + logits);
        const { dense, cache, experts, largestPart } = several;
        expect({ dense, cache, experts }).to.deep.equal({ dense: one.dense, cache: one.cache, experts: one.experts });
        expect(largestPart).to.include({ name: 'layer 0', activations: step, ...layers[0] });
        expect(of({ memoryBytes: bytesOfPart(largestPart!) - 1 }).spread).to.equal(null);
        expect(of({ memoryBytes: bytesOfPart(largestPart!) }).spread).not.to.equal(null);
        const many = of({ spec: { ...options.spec, vocabSize: 10_000 }, numKvBlocks: 1 }).largestPart;
        expect(many, 'logits are beside the head').to.include({ name: 'the head', weights: head });
        expect(undividedParts({ step, logits, layers, embedding, head: null }).at(-1)).to.include({
          ...{ name: 'the embedding', weights: embedding, activations: step + logits },
        });
        expect(of({ residence: TENSORS })).to.include({ spread: null, largestPart: null });
      });
    }
  });
});
