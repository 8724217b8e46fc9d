import { expect } from 'chai';
import { asRank } from '../../../comm/ids.js';
import { ExpertError } from '../../../experts/errors.js';
import { createPlacement } from '../../../experts/placement.js';
import {
  checkFootprint,
  denseDtype,
  footprintOf,
  residenceOf,
  type Footprint,
  type MemoryLimits,
  type Residence,
  type ResidenceChoice,
} from '../../../lib/model/residence.js';
import { modelSpecOf } from '../../../lib/model/registry.js';
import { moeLayersOf } from '../../../lib/model/spec.js';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const GIB = 2 ** 30;
const AUTO: ResidenceChoice = { compute: 'auto', experts: 'auto', dense: 'auto' };
const KERNELS: Residence = { compute: 'kernels', experts: 'bf16', dense: 'auto' };
const TENSORS: Residence = { compute: 'tensors', experts: 'f32', dense: 'auto' };
const LIMITS: MemoryLimits = {
  backend: 'wasm',
  rank: asRank(2),
  numRanks: 4,
  availableBytes: 16 * GIB,
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

describe('what weights are kept as', () => {
  it('auto is the kernels on wasm, tensors elsewhere, and what the checkpoint stores', async () => {
    const checkpoint = await openCheckpoint(moe7m());
    expect(residenceOf(AUTO, 'wasm', checkpoint)).to.deep.equal(KERNELS);
    expect(residenceOf(AUTO, 'cpu', checkpoint)).to.deep.equal({ ...KERNELS, compute: 'tensors' });
    expect(residenceOf({ ...AUTO, experts: 'int8', dense: 'f32' }, 'wasm', checkpoint)).to.deep.equal({
      compute: 'kernels',
      experts: 'int8',
      dense: 'f32',
    });
    await checkpoint.close();
  });

  it('refuses kernels beside another backend, and int8 without kernels, with what to set', async () => {
    const checkpoint = await openCheckpoint(moe7m());
    const kernels = await errorOf(ExpertError, () => residenceOf({ ...AUTO, compute: 'kernels' }, 'cpu', checkpoint));
    expect(kernels.message).to.match(/^BACKEND_UNAVAILABLE: .*backend: wasm.*this rank has cpu.*compute: tensors$/);
    for (const choice of [{ experts: 'int8' }, { dense: 'int8' }] as const) {
      const int8 = await errorOf(ExpertError, () => residenceOf({ ...AUTO, ...choice }, 'tensorflow', checkpoint));
      expect(int8.message).to.match(/^INVALID_ARGUMENT: int8 .*tensorflow tensors; choose bf16 or f32$/);
    }
    await checkpoint.close();
  });

  it('gate and embedding are never int8; everything else is what is wanted', () => {
    const gate = { name: 'model.layers.3.mlp.gate.weight', dtype: 'F32' };
    const embedding = { name: 'model.embed_tokens.weight', dtype: 'BF16' };
    const other = { name: 'model.layers.3.self_attn.o_proj.weight', dtype: 'F16' };
    const dtypes = (choice: 'auto' | 'f32' | 'bf16' | 'int8'): string[] =>
      [gate, embedding, other].map((info) => denseDtype(info, choice));
    expect(dtypes('auto')).to.deep.equal(['f32', 'bf16', 'f32']);
    expect(dtypes('int8')).to.deep.equal(['f32', 'bf16', 'int8']);
    expect(dtypes('bf16')).to.deep.equal(['bf16', 'bf16', 'bf16']);
    expect(dtypes('f32')).to.deep.equal(['f32', 'f32', 'f32']);
  });
});

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
    expect(message).to.match(/lower engine\.num_kv_blocks, or set dense\.resident to int8$/);
    expect(await refusal({ cache: 4 * GIB }, { ...KERNELS, dense: 'int8' })).to.match(/lower engine\.num_kv_blocks$/);
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
