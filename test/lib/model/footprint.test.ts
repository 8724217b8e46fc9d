import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asRank } from '../../../comm/ids.js';
import { ExpertError } from '../../../experts/errors.js';
import { createPlacement } from '../../../experts/placement.js';
import type { Residence } from '../../../lib/model/residence.js';
import { checkFootprint, footprintOf, type Footprint, type MemoryLimits } from '../../../lib/model/footprint.js';
import { modelSpecOf } from '../../../lib/model/registry.js';
import { moeLayersOf } from '../../../lib/model/spec.js';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { copyModel } from '../../kit/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { readSafetensors, writeSafetensors } from '../../kit/safetensors_writer.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const GIB = 2 ** 30;
const KERNELS: Residence = { compute: 'kernels', experts: 'bf16', dense: 'auto' };
const TENSORS: Residence = { compute: 'tensors', experts: 'f32', dense: 'auto' };
const LIMITS: MemoryLimits = {
  backend: 'wasm',
  rank: asRank(2),
  numRanks: 4,
  availableBytes: 16 * GIB,
  totalBytes: 24 * GIB,
  ranksHere: 1,
  memoryBytes: 4 * GIB,
};
const SMALL: Footprint = {
  dense: GIB / 4,
  experts: GIB,
  moving: 0,
  cache: GIB / 8,
  activations: GIB / 64,
  received: 0,
};

const refusal = (
  footprint: Partial<Footprint>,
  residence: Residence,
  limits: Partial<MemoryLimits> = {},
): Promise<string> =>
  errorOf(ExpertError, () => checkFootprint({ ...SMALL, ...footprint }, residence, { ...LIMITS, ...limits })).then(
    (error) => {
      expect(error.code).to.equal('OUT_OF_MEMORY');
      return error.message;
    },
  );

async function bytesOfRank(dir: string, vocabSize?: number): Promise<Footprint> {
  const read = modelSpecOf((await readModelFiles(dir)).config);
  const spec = { ...read, vocabSize: vocabSize ?? read.vocabSize };
  const checkpoint = await openCheckpoint(dir);
  const shape = { numLayers: moeLayersOf(spec).length, numExperts: spec.moe.gate.numExperts, numRanks: 2 };
  const limits = { blockSize: 16, numKvBlocks: 10, maxNumBatchedTokens: 8, numMovingExperts: 0 };
  const placement = createPlacement('linear', shape);
  const footprint = footprintOf({ spec, checkpoint, placement, rank: asRank(0), residence: KERNELS, ...limits });
  await checkpoint.close();
  return footprint;
}

describe('the bytes of a rank', () => {
  it('are those of its tensors, by dtype, with whole groups per row', async () => {
    const dir = tinyModel('tiny-qwen3-moe');
    const spec = modelSpecOf((await readModelFiles(dir)).config);
    const checkpoint = await openCheckpoint(dir);
    const { numExperts } = spec.moe.gate;
    const numLayers = moeLayersOf(spec).length;
    const placement = createPlacement('linear', { numLayers, numExperts, numRanks: 2 });
    const options = {
      spec,
      checkpoint,
      placement,
      rank: asRank(0),
      blockSize: 16,
      numKvBlocks: 10,
      maxNumBatchedTokens: 8,
    };
    const of = (residence: Residence, numMovingExperts = 0): Footprint =>
      footprintOf({ ...options, residence, numMovingExperts });
    const perExpert = (bytes: (columns: number) => number): number =>
      2 * spec.moe.intermediateSize * bytes(spec.hiddenSize) + spec.hiddenSize * bytes(spec.moe.intermediateSize);
    const padded = (columns: number): number => 32 * Math.ceil(columns / 32);
    const rows = {
      f32: (n: number) => 4 * padded(n),
      bf16: (n: number) => 2 * padded(n),
      int8: (n: number) => 1.125 * padded(n),
    };
    const numOwn = (numLayers * numExperts) / 2;
    for (const experts of ['f32', 'bf16', 'int8'] as const) {
      const footprint = of({ ...KERNELS, experts }, 3);
      expect(footprint.experts, experts).to.equal(numOwn * perExpert(rows[experts]));
      expect(footprint.moving, experts).to.equal(3 * perExpert(rows[experts]));
    }
    expect(of(TENSORS).experts).to.equal(numOwn * perExpert((n) => 4 * n));
    const all = checkpoint
      .names()
      .reduce((sum, name) => sum + checkpoint.info(name).shape.reduce((a, b) => a * b, 1), 0);
    const { dense, experts } = of(TENSORS);
    expect(dense + 2 * experts).to.equal(4 * all);
    await checkpoint.close();
  });

  it('count a scalar as one float', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      const file = join(dir, 'model.safetensors');
      const name = 'model.layers.0.self_attn.k_scale';
      const scalar = { name, dtype: 'F32', shape: [], bytes: new Uint8Array(4) };
      const before = await bytesOfRank(dir);
      await writeFile(file, writeSafetensors([...readSafetensors(await readFile(file)), scalar]));
      expect(await bytesOfRank(dir)).to.deep.equal({ ...before, dense: before.dense + 4 });
    });
  });

  it('count logits of all tokens of a step, up to 256 MiB', async () => {
    const of = async (vocabSize: number): Promise<number> =>
      (await bytesOfRank(tinyModel('tiny-qwen3-moe'), vocabSize)).activations;
    expect((await of(150_000)) - (await of(100_000))).to.equal(4 * 8 * 50_000);
    expect((await of(2 ** 24)) - (await of(2 ** 22))).to.equal(2 ** 27);
    expect(await of(2 ** 24)).to.equal(await of(2 ** 25));
  });

  it('that fit are accepted', () => {
    for (const residence of [KERNELS, TENSORS]) checkFootprint(SMALL, residence, LIMITS);
    checkFootprint({ ...SMALL, experts: 12 * GIB }, KERNELS, LIMITS);
    checkFootprint({ ...SMALL, experts: 12 * GIB }, TENSORS, { ...LIMITS, backend: 'tensorflow' });
  });

  it('beyond what tensors on wasm hold are refused with both numbers, the kernels and the ranks that it needs', async () => {
    const message = await refusal({ experts: 2 * GIB }, TENSORS);
    expect(message).to.contain('rank 2 would hold 2.25 GiB of float32 weights (dense 0.25 GiB, experts 2.00 GiB)');
    expect(message).to.contain('wasm backend holds 1.50 GiB; use compute: kernels, or spread the experts over 7 ranks');
  });

  it('of dense weights and cache must fit one kernel memory', async () => {
    const message = await refusal({ cache: 4 * GIB }, KERNELS);
    expect(message).to.contain("4.27 GiB that can't be divided").and.contain('a kernel memory holds 4.00 GiB');
    expect(message).to.match(/lower engine\.num_kv_blocks$/);
    expect(await refusal({ activations: 4 * GIB }, KERNELS)).to.match(/lower engine\.max_num_batched_tokens$/);
    const dense = { dense: 3.9 * GIB, cache: GIB / 2 };
    expect(await refusal(dense, KERNELS)).to.match(/lower engine\.num_kv_blocks, or set dense\.resident to int8$/);
    expect(await refusal({ dense: 6 * GIB }, { ...KERNELS, dense: 'f32' })).to.match(/; set dense\.resident to bf16$/);
    expect(await refusal({ dense: 9 * GIB }, KERNELS)).to.match(/; use compute: tensors with backend: tensorflow$/);
  });

  it('of all ranks of a machine must fit it together', async () => {
    const message = await refusal({ experts: 8 * GIB }, KERNELS, { ranksHere: 4 });
    expect(message).to.contain('would hold 8.39 GiB').and.contain('4 such ranks share a machine with 24.00 GiB');
    expect(message).to.match(/; set experts\.resident to int8, which fits, or use several machines$/);
    checkFootprint({ ...SMALL, experts: 8 * GIB }, KERNELS, { ...LIMITS, ranksHere: 2 });
  });

  it('beyond what the machine has are refused with what would fit', async () => {
    const message = await refusal({ experts: 20 * GIB }, KERNELS);
    expect(message).to.contain('would hold 20.39 GiB').and.contain('this machine has 16.00 GiB left');
    expect(message).to.contain('set experts.resident to int8, which fits, or spread the experts over 6 ranks');
    const f32 = await refusal({ experts: 20 * GIB }, { ...KERNELS, experts: 'f32' });
    expect(f32).to.contain('set experts.resident to bf16, which fits');
    const tensors = await refusal({ experts: 20 * GIB }, TENSORS, { backend: 'tensorflow' });
    expect(tensors).not.to.contain('resident');
    const none = await refusal({ dense: 3 * GIB }, KERNELS, { availableBytes: GIB });
    expect(none).to.contain('take a machine with more memory');
  });
});
