import { expect } from 'chai';
import { PLAIN_KERNELS } from '../../../compute/wasm/memory/kernel_settings.js';
import { trialDigest } from '../../../lib/kernels/trial_model.js';
import { calledKernels } from '../../kit/kernels/called_kernels.js';

/** Ranks call others that run these inside, or call them before all else. */
const INNER = [
  'attend',
  'attendBytes',
  'exp',
  'exp64',
  'linear',
  'linearTransposed',
  'applyNorm',
  'rope',
  'route',
  'loadRow',
  'loadNarrowRow',
  'storeRow',
  'storeNarrowRow',
];
const SETTINGS = ['setInt8Activations', 'setTile', 'useStatics'];
/** Of threads, which the trial has none of. */
const CREW = ['joinCrew', 'takeChunks', 'wakeCaller', 'workAlone'];

describe('the model of the trial', function () {
  this.timeout(60_000);

  it('calls every kernel that a rank calls', async () => {
    const { called, all } = await calledKernels(() => trialDigest(PLAIN_KERNELS));
    const others = new Set([...INNER, ...SETTINGS, ...CREW]);
    expect(all.filter((name) => !called.has(name) && !others.has(name))).to.deep.equal([]);
  });

  it('has the same bits each time, with every tile, and others where products are fused', async () => {
    const plain = await trialDigest(PLAIN_KERNELS);
    for (const tileRows of [2, 4, 6]) expect(await trialDigest({ fma: false, tileRows })).to.equal(plain);
    const fused = await trialDigest({ fma: true, tileRows: null });
    expect(fused).to.not.equal(plain);
    for (const tileRows of [2, 4, 6]) expect(await trialDigest({ fma: true, tileRows })).to.equal(fused);
  });
});
