import { expect } from 'chai';
import { CommError } from '../../../comm/base/errors.js';
import { ExpertError } from '../../../compute/base/errors.js';
import {
  agreementOf,
  checkWish,
  kernelChoice,
  offerOf,
  trialNotice,
  widerNode,
} from '../../../lib/kernels/kernel_choice.js';
import { UNTRIED, type KernelTrial } from '../../../lib/kernels/kernel_trial.js';
import { errorOf } from '../../kit/rejects.js';

const ALL: KernelTrial = {
  ...{ lacks256: null, lacksFma: null, gain: 2 },
  tileRows: { 'plain 128': 2, 'fused 128': 2, 'plain 256': 4, 'fused 256': 6 },
};
const OLD: KernelTrial = { ...ALL, lacks256: { kind: 'lacking', why: 'Node v20.19.0 has none' } };
const BROKEN: KernelTrial = {
  ...ALL,
  lacks256: { kind: 'failed', why: 'its trial ended with SIGTRAP' },
  lacksFma: { kind: 'failed', why: 'its bits depend on V8' },
};
const NODE_20 = { version: 'v20.19.0', arch: 'x64', cli: '/p/node_modules/expertwire/dist/lib/cli.js' };
const AUTO = { simd: 'auto', fma: 'auto' } as const;

describe('how kernels compute', () => {
  it('is as wide as the machine can, or as 128 bits are asked for, with the tile that is fastest then', () => {
    expect(kernelChoice(AUTO, { fma: true }, ALL)).to.deep.equal({ simd: 256, fma: true, tileRows: 6 });
    expect(kernelChoice(AUTO, { fma: false }, ALL)).to.deep.equal({ simd: 256, fma: false, tileRows: 4 });
    expect(kernelChoice({ simd: 128 }, { fma: true }, ALL)).to.deep.equal({ simd: 128, fma: true, tileRows: 2 });
    expect(kernelChoice(AUTO, { fma: false }, OLD)).to.deep.equal({ simd: 128, fma: false, tileRows: 2 });
    expect(kernelChoice(AUTO, { fma: false }, UNTRIED)).to.deep.equal({ simd: 128, fma: false, tileRows: null });
  });

  it('is fused on all ranks with kernels or on none', () => {
    const [can, cannot] = [offerOf(AUTO, ALL), offerOf(AUTO, BROKEN)];
    expect(offerOf({ fma: 'off' }, ALL)).to.deep.equal(cannot);
    expect(agreementOf([can, can])).to.deep.equal({ fma: true });
    expect(agreementOf([can, null])).to.deep.equal({ fma: true });
    expect(agreementOf([can, cannot, can])).to.deep.equal({ fma: false });
    expect(agreementOf([null])).to.deep.equal({ fma: false });
  });

  it('is not settled with a rank that says something else', async () => {
    for (const odd of [undefined, 1, {}, { canFuse: 'yes' }]) {
      const error = await errorOf(CommError, () => agreementOf([offerOf(AUTO, ALL), odd]));
      expect([error.code, error.rank]).to.deep.equal(['PROTOCOL', 1]);
    }
  });

  it('is refused where more is demanded than there is, with what would help', async () => {
    const refusal = async (
      wish: Parameters<typeof checkWish>[0],
      trial: KernelTrial,
      node = NODE_20,
    ): Promise<string> => {
      const error = await errorOf(ExpertError, () => checkWish(wish, trial, node));
      expect(error.code).to.equal('KERNELS_UNAVAILABLE');
      return error.message;
    };
    const demanded = { simd: 256, fma: 'on' } as const;
    checkWish(demanded, ALL, NODE_20);
    for (const trial of [OLD, BROKEN, UNTRIED]) checkWish(AUTO, trial, NODE_20);
    expect(await refusal(demanded, OLD)).to.equal(
      'KERNELS_UNAVAILABLE: kernels.simd is 256, but Node v20.19.0 has none; run it with a newer Node (npx -p node@26 expertwire …), or set it to auto',
    );
    expect(await refusal(demanded, BROKEN)).to.match(/its trial ended with SIGTRAP; set it to auto$/);
    expect(await refusal(demanded, OLD, { ...NODE_20, arch: 'arm64' })).to.match(/has none; set it to auto$/);
    expect(await refusal({ simd: 'auto', fma: 'on' }, BROKEN)).to.equal(
      'KERNELS_UNAVAILABLE: kernels.fma is on, but its bits depend on V8; set it to auto, which fuses only where every rank can',
    );
  });

  it('is told of in a line where a trial failed, unless nobody wanted what it was about', () => {
    expect(trialNotice(AUTO, ALL)).to.equal(null);
    expect(trialNotice(AUTO, OLD)).to.equal(null);
    expect(trialNotice(AUTO, BROKEN)).to.equal(
      'kernels compute with 128-bit SIMD: at 256 bits, its trial ended with SIGTRAP',
    );
    expect(trialNotice({ simd: 128, fma: 'auto' }, BROKEN)).to.equal(
      "kernels don't fuse products and sums: its bits depend on V8",
    );
    expect(trialNotice({ simd: 128, fma: 'off' }, BROKEN)).to.equal(null);
  });

  it('would be wider with a newer Node on x64, which has a command in an installed package and in a checkout', () => {
    const checkout = { ...NODE_20, cli: '/home/me/expertwire/dist/lib/cli.js' };
    expect(widerNode(AUTO, OLD, NODE_20)).to.equal('npx -p node@26 expertwire');
    expect(widerNode(AUTO, OLD, checkout)).to.equal('npx -p node@26 node /home/me/expertwire/dist/lib/cli.js');
    const odd = { ...checkout, cli: "/home/my me's/dist/lib/cli.js" };
    expect(widerNode(AUTO, OLD, odd)).to.equal("npx -p node@26 node '/home/my me'\\''s/dist/lib/cli.js'");
    const windows = { ...checkout, cli: 'C:\\my files\\dist\\lib\\cli.js' };
    expect(widerNode(AUTO, OLD, windows)).to.equal('npx -p node@26 node "C:\\my files\\dist\\lib\\cli.js"');
    const fetched = { ...checkout, cli: '/home/me/.npm/_npx/1a2b/node_modules/expertwire/dist/lib/cli.js' };
    expect(widerNode(AUTO, OLD, fetched)).to.equal(`npx -p node@26 node ${fetched.cli}`);
    const others: Parameters<typeof widerNode>[] = [
      [{ simd: 128 }, OLD, NODE_20],
      [AUTO, ALL, NODE_20],
      [AUTO, BROKEN, NODE_20],
      [AUTO, OLD, { ...NODE_20, arch: 'arm64' }],
      [AUTO, OLD, { ...NODE_20, version: 'v24.0.0' }],
      [AUTO, OLD, { ...NODE_20, hasAvx2: false }],
    ];
    for (const other of others) expect(widerNode(...other)).to.equal(null);
  });
});
