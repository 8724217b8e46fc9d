import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import { checkReports, noticesOf } from '../../../lib/protocol/report_check.js';
import type { LoadReport } from '../../../lib/protocol/step_plan.js';
import { errorOf } from '../../kit/rejects.js';

const report = (backend: string, residence: LoadReport['residence']): Pick<LoadReport, 'backend' | 'residence'> => ({
  backend,
  residence,
});
const KERNELS = report('wasm', { compute: 'kernels', experts: 'bf16', dense: 'auto' });
const TENSORS = report('cpu', { compute: 'tensors', experts: 'bf16', dense: 'auto' });

const NOTHING_ODD = { unused: { count: 0, names: [], skipped: [] }, kernels: null };

describe('ranks that loaded', () => {
  it('may compute with what they like, as long as experts travel as the same type', () => {
    checkReports([KERNELS, TENSORS, KERNELS]);
  });

  it('are refused where they differ in it: which ranks, both types, and what to do', async () => {
    const f32 = report('webgpu', { compute: 'tensors', experts: 'f32', dense: 'auto' });
    const error = await errorOf(EngineError, () => checkReports([KERNELS, TENSORS, f32]));
    expect([error.code, error.rank]).to.deep.equal(['RANKS_DIFFER', 2]);
    expect(error.message).to.equal(
      'RANKS_DIFFER: experts are bf16 on rank 0 (wasm kernels) and f32 on rank 2 (webgpu tensors); set experts.resident to f32 or bf16, which every backend has',
    );
  });

  it('tell once which tensors nobody reads: how many, and the first of them', () => {
    const names = ['a.bias', 'b.bias', 'c.bias', 'd.bias', 'e.bias'];
    const odd = { unused: { count: 7, names, skipped: [] }, kernels: null };
    expect(noticesOf([odd, NOTHING_ODD, odd])).to.deep.equal([
      'the checkpoint has 7 tensors that its config.json gives no meaning to, not used: a.bias, b.bias, c.bias, d.bias, e.bias, and 2 more; another config.json may belong to it',
    ]);
    expect(noticesOf([{ ...NOTHING_ODD, unused: { count: 1, names: ['a.bias'], skipped: [] } }])[0])
      .to.contain('has a tensor that')
      .and.contain('not used: a.bias;');
  });

  it('tell once what is not run', () => {
    const odd = { unused: { count: 0, names: [], skipped: ['layers for multi-token prediction'] }, kernels: null };
    expect(noticesOf([odd, odd])).to.deep.equal([
      "the checkpoint has layers for multi-token prediction, which expertwire doesn't run: skipped",
    ]);
  });

  it('tell once what is wrong with the kernels of their machines', () => {
    const plain = { simd: 128, fma: false, tileRows: null, newer: null, numThreads: 1, threadsNotice: null } as const;
    const [odd, well] = [
      { ...plain, notice: 'kernels compute with 128-bit SIMD' },
      { ...plain, notice: null },
    ];
    const reports = [odd, well, odd].map((kernels) => ({ ...NOTHING_ODD, kernels }));
    expect(noticesOf(reports)).to.deep.equal(['kernels compute with 128-bit SIMD']);
  });
});
