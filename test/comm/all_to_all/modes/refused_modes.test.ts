import { expect } from 'chai';
import {
  createAllToAll,
  createLocalMeshes,
  type AllToAllOptions,
  type CommErrorCode,
  type Reduce,
  type WireDtype,
} from '../../../../comm/index.js';
import { withMeshes } from '../../../kit/comm/all_to_all.js';
import { thrown } from '../../../kit/errors.js';

describe('all-to-all refuses modes', () => {
  const options = { hidden: 4, numTopk: 2, slotsPerRank: 3 };
  const cases: [string, Partial<AllToAllOptions>, string[]][] = [
    ['onPeerLoss', { onPeerLoss: 'ignore' as 'mask' }, ['ignore', 'fail, mask']],
    ['wire.dispatch', { wire: { dispatch: 'fp4' as WireDtype } }, ['fp4', 'bf16']],
    ['wire.combine', { wire: { combine: 'f16' as WireDtype } }, ['f16', 'int8']],
    ['reduce', { reduce: 'mean' as Reduce }, ['mean', 'rank, source']],
    ['expertAlignment', { expertAlignment: 0 }, ['0', '1']],
    ['topology.ranksPerNode', { topology: { ranksPerNode: 4, route: 'flat' } }, ['4', '6']],
    ['topology.ranksPerNode', { topology: { ranksPerNode: 0, route: 'flat' } }, ['0', '6']],
    ['topology.ranksPerNode', { topology: { ranksPerNode: 7, route: 'flat' } }, ['7', '6']],
    ['topology.route', { topology: { ranksPerNode: 2, route: 'ring' as 'flat' } }, ['ring', 'flat, hierarchical']],
  ];
  for (const [name, wrong, words] of cases) {
    it(`${name} ${JSON.stringify(wrong)}, naming what is allowed`, async () => {
      await withMeshes(createLocalMeshes(6), ([mesh]) => {
        const code: CommErrorCode = 'INVALID_ARGUMENT';
        const { message } = thrown(() => createAllToAll(mesh!, { ...options, ...wrong }), code);
        for (const word of [name, ...words]) expect(message).to.contain(word);
      });
    });
  }
});
