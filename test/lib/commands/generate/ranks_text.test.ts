import { expect } from 'chai';
import { ranksText } from '../../../../lib/commands/generate/ranks_text.js';

const rank = (backend: string, device: string | null = null, simd: 128 | 256 = 256, numThreads = 1) => ({
  backend,
  device,
  kernels:
    backend === 'wasm'
      ? { simd, fma: simd === 256, tileRows: 4, notice: null, newer: null, numThreads, threadsNotice: null }
      : null,
  residence: { compute: backend === 'wasm' ? 'kernels' : 'tensors', experts: 'bf16', dense: 'auto' } as const,
});

describe('what the ranks of a job compute with', () => {
  it('is said once where it is the same', () => {
    expect(ranksText([rank('wasm')])).to.equal('1 rank on wasm kernels (256 bits, fused)');
    expect(ranksText([rank('wasm', null, 128, 4)])).to.equal('1 rank on wasm kernels (4 threads, 128 bits)');
    const wasm = rank('wasm');
    expect(ranksText([{ ...wasm, kernels: { ...wasm.kernels!, activations: 'int8' } }])).to.equal(
      '1 rank on wasm kernels (256 bits, fused, int8 activations)',
    );
    expect(ranksText([rank('cpu'), rank('cpu')])).to.equal('2 ranks on cpu tensors');
  });

  it('is said of each rank where it is not', () => {
    expect(ranksText([rank('wasm'), rank('tensorflow', '0'), rank('wasm')])).to.equal(
      '3 ranks: 0, 2 on wasm kernels (256 bits, fused); 1 on tensorflow tensors (GPU 0)',
    );
    expect(ranksText([rank('wasm'), rank('wasm', null, 128)])).to.equal(
      '2 ranks: 0 on wasm kernels (256 bits, fused); 1 on wasm kernels (128 bits)',
    );
  });

  it('names the GPUs in the order of the ranks', () => {
    const ranks = [rank('tensorflow', '0'), rank('tensorflow', '1'), rank('tensorflow')];
    expect(ranksText(ranks)).to.equal('3 ranks on tensorflow tensors (GPU 0, 1, –)');
  });
});
