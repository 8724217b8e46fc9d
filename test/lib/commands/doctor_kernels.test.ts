import { expect } from 'chai';
import { kernelFacts, kernelsJson } from '../../../lib/commands/doctor_kernels.js';
import type { KernelTrial } from '../../../lib/kernels/kernel_trial.js';

const WIDE: KernelTrial = {
  ...{ lacks256: null, lacksFma: null, gain: 1.94 },
  tileRows: { 'plain 128': 2, 'fused 128': 2, 'plain 256': 4, 'fused 256': 6 },
};
const NARROW: KernelTrial = { ...WIDE, lacks256: { kind: 'lacking', why: 'Node v20.19.0 has none' }, gain: 1 };
const PLAIN: KernelTrial = { ...NARROW, lacksFma: { kind: 'lacking', why: 'this processor rounds twice' } };
const node = (version: string, arch = 'x64') => ({ version, arch, cli: '/p/node_modules/expertwire/dist/lib/cli.js' });

describe('what doctor says of the kernels', () => {
  it('is how wide they are, by how much that helps, and whether they fuse', () => {
    expect(kernelFacts(WIDE, node('v26.1.0'))).to.deep.equal([
      ['kernels', '256-bit SIMD, products 1.9 times as fast as with 128; fused multiply-add'],
    ]);
    expect(kernelFacts(PLAIN, node('v24.0.0'))).to.deep.equal([
      ['kernels', '128-bit SIMD: Node v20.19.0 has none; no fused multiply-add: this processor rounds twice'],
    ]);
  });

  it('names the command with a newer Node where that would be wider', () => {
    expect(kernelFacts(NARROW, node('v20.19.0'))).to.deep.equal([
      ['kernels', '128-bit SIMD: Node v20.19.0 has none; fused multiply-add'],
      ['', '256-bit SIMD, prefill up to twice as fast, with a newer Node: npx -p node@26 expertwire …'],
    ]);
    expect(kernelFacts(NARROW, node('v20.19.0', 'arm64'))).to.have.length(1);
  });

  it('is one object for machines', () => {
    expect(kernelsJson(WIDE, node('v26.1.0'))).to.deep.equal({
      kernels: { simd: 256, fma: true, tile_rows: 6, gain_256: 1.94, no_256: null, no_fma: null, newer_node: null },
    });
    expect(kernelsJson(PLAIN, node('v20.19.0'))).to.deep.equal({
      kernels: {
        ...{ simd: 128, fma: false, tile_rows: 2, gain_256: null, newer_node: 'npx -p node@26 expertwire' },
        ...{ no_256: 'Node v20.19.0 has none', no_fma: 'this processor rounds twice' },
      },
    });
  });
});
