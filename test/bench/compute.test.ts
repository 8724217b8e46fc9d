import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import type { DecodeRow } from '../../bench/compute/measure_decode.js';
import type { DtypeRow } from '../../bench/compute/measure_experts.js';
import { fitsBackend, type TensorsRow } from '../../bench/compute/measure_tensors.js';
import { parseOptions } from '../../bench/compute/options.js';
import { runBench } from '../../bench/index.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { tinyModel } from '../kit/paths.js';
import { errorOf } from '../kit/rejects.js';

/** What --json prints, beside the settings. */
interface Figures {
  readonly machine: object;
  readonly dtypes: readonly DtypeRow[];
  readonly tensors: TensorsRow;
  readonly decode: readonly DecodeRow[];
}

/** What the command writes to stdout. */
async function output(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const { signal } = new AbortController();
  await runBench(['compute', ...args], { stdout, stderr: stdout, stdin: process.stdin, signal, env: {} });
  return stdout.read() as string;
}

const SIZES = ['--hidden', '64', '--intermediate', '40', '--experts', '6', '--topk', '2', '--matmul', '40,33,50'];
const TINY = [...SIZES, '--tokens', '1,5', '--repeats', '1', '--decode-tokens', '7'];
const MODEL = ['--model', tinyModel('tiny-deepseek-v3')];

describe('expertwire bench compute', function () {
  this.timeout(60_000);
  let figures: Figures;

  before(async () => {
    figures = JSON.parse(await output(...TINY, ...MODEL, '--json')) as Figures;
  });

  it('--json is one object: machine, settings, every dtype with its baselines and batches, both computes', () => {
    const { machine, dtypes, tensors, decode, ...settings } = figures;
    expect(machine).to.have.all.keys('cpu', 'cores', 'memory', 'node');
    expect(settings).to.deep.include({ seed: 1, repeats: 1, hidden: 64, intermediate: 40, experts: 6, topk: 2 });
    expect(dtypes.map(({ dtype }) => dtype)).to.deep.equal(['f32', 'bf16', 'int8']);
    for (const { batches, ...row } of dtypes) {
      for (const value of [row.read_gb_per_s, row.copy_gb_per_s, row.matmul_gflops, row.tfjs_gflops]) {
        expect(value).to.be.above(0);
      }
      expect(row.matmul_ratio).to.be.closeTo(row.matmul_gflops / row.tfjs_gflops, 1e-9);
      expect(batches.map(({ tokens }) => tokens)).to.deep.equal([1, 5]);
      expect(batches[0]).to.include({ active_experts: 2, rows_per_expert: 1 });
      for (const batch of batches) {
        expect(batch.active_experts * batch.rows_per_expert).to.be.closeTo(2 * batch.tokens, 1e-9);
        expect(batch.bandwidth_share).to.be.closeTo(batch.weights_gb_per_s / row.read_gb_per_s, 1e-9);
        expect(batch.matmul_share).to.be.closeTo(batch.gflops / row.matmul_gflops, 1e-9);
      }
    }
    expect(tensors.backend).to.equal('wasm');
    for (const { products, ...batch } of tensors.batches) {
      expect(batch.bandwidth_share).to.be.closeTo(batch.weights_gb_per_s / tensors.copy_gb_per_s, 1e-9);
      expect(batch.matmul_share).to.be.closeTo(batch.gflops / tensors.matmul_gflops, 1e-9);
      // Per active expert two products and a slice, and its rows; the activation and what is joined once.
      expect(batch.ops).to.be.within(3 * batch.active_experts, 3 * batch.active_experts + 5);
      for (const ms of Object.values(products)) expect(ms).to.be.above(0);
    }
    expect(decode.map(({ compute }) => compute)).to.deep.equal(['kernels', 'tensors']);
    for (const row of decode) expect(row.tokens_per_s * row.us_per_layer).to.be.closeTo(1e6 / 3, 1);
  });

  it('weights of whole numbers are measured beside each type of activations, others once', async () => {
    const kinds = ['--dtypes', 'bf16,uint4', '--activations', 'f32,int8', '--fused'];
    const args = [...SIZES, '--tokens', '1', '--repeats', '1', '--decode-tokens', '0', ...kinds];
    const { dtypes, fused } = JSON.parse(await output(...args, '--json')) as Figures & { readonly fused: boolean };
    expect(fused).to.equal(true);
    expect(dtypes.map(({ dtype, activations }) => `${dtype} × ${activations}`)).to.deep.equal([
      ...['bf16 × f32', 'uint4 × f32', 'uint4 × int8'],
    ]);
    expect(() => parseOptions(['--activations', 'int4'])).to.throw(UsageError, "no activations 'int4'");
  });

  it('another backend is measured without kernels', async () => {
    const text = await output(...TINY, ...MODEL, '--json', '--backend', 'cpu');
    const { dtypes, tensors, decode } = JSON.parse(text) as Figures;
    expect(dtypes).to.deep.equal([]);
    expect(tensors.backend).to.equal('cpu');
    expect(tensors.batches.map(({ tokens }) => tokens)).to.deep.equal([1, 5]);
    expect(decode.map(({ compute }) => compute)).to.deep.equal(['tensors']);
  });

  it('experts that do not fit the wasm backend as tensors, with what they are compared with, are left out', () => {
    const fits = (backend: string, experts: number): boolean =>
      fitsBackend(parseOptions(['--backend', backend, '--experts', String(experts)]));
    expect([42, 43].map((experts) => fits('wasm', experts))).to.deep.equal([true, false]);
    expect(fits('tensorflow', 43)).to.equal(true);
  });

  it('a layer decodes in a handful of kernel calls and without a TensorFlow.js operation', () => {
    const [kernels, tensors] = figures.decode;
    expect(kernels!.tfjs_ops).to.equal(0);
    // Attention, gate, experts, their sum, shared experts, residual; embedding, logits and greedy choice once per token.
    expect(kernels!.kernel_calls).to.be.within(5, 7);
    expect(kernels!.copies).to.be.within(0, 1);
    expect(tensors!.tfjs_ops).to.be.above(20);
    expect(tensors!.kernel_calls).to.equal(0);
  });

  it('the tables name machine, seed, formulae and baselines', async () => {
    const text = await output(...TINY, ...MODEL, '--dtypes', 'int8');
    for (const part of [
      'cores',
      'seed 1',
      'read, copy GB/s =',
      '2 × rows × inner × columns',
      'int8 × 5',
      'of matmul',
    ]) {
      expect(text).to.include(part);
    }
  });

  it('impossible options are usage errors', async () => {
    for (const args of [
      ['--dtypes', 'fp4'],
      ['--topk', '9', '--experts', '8'],
      ['--matmul', '3,4'],
      ['--tokens', '0'],
    ]) {
      await errorOf(UsageError, () => output(...args));
    }
  });
});
