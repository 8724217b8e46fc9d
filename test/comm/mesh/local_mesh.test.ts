import { expect } from 'chai';
import { asRank, createLocalMeshes, LocalNetwork } from '../../../comm/index.js';
import { admissionContract } from '../../contracts/admission_contract.js';
import { meshContract } from '../../contracts/mesh_contract.js';
import { thrown } from '../../kit/errors.js';

admissionContract(
  'a local mesh',
  (size, limits) => {
    const network = new LocalNetwork(size, limits);
    return (rank) => Promise.resolve({ mesh: network.open(rank), address: { host: 'anywhere', port: 1 } });
  },
  100,
);
meshContract('a local mesh', (size, limits) => Promise.resolve(createLocalMeshes(size, limits)));

describe('a local mesh', () => {
  it('copies what is sent, so that a later change of the sender is not seen', async () => {
    const [a, b] = createLocalMeshes(2);
    const payload = Uint8Array.of(1, 2, 3, 4);
    const tag = { phase: 'dispatch', step: 0, layer: 0, microBatch: 0, epoch: 0 } as const;
    const rows = { numRows: 1, hidden: 1, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 4 } as const;
    a!.send(asRank(1), { ...tag, ...rows, source: asRank(0), destination: asRank(1) }, [payload]);
    payload.fill(9);
    const frame = await b!.receive(asRank(0), tag, { timeoutMs: 1000 });
    expect([...frame.payload]).to.deep.equal([1, 2, 3, 4]);
    await Promise.all([a!.close(), b!.close()]);
  });

  it('refuses an impossible number of ranks or limit', () => {
    for (const size of [0, -1, 1.5, NaN]) thrown(() => createLocalMeshes(size), 'INVALID_ARGUMENT');
    for (const maxFrameBytes of [0, 39, 1.5, 2 ** 31]) {
      thrown(() => createLocalMeshes(2, { maxFrameBytes }), 'INVALID_ARGUMENT');
    }
    thrown(() => createLocalMeshes(2, { microBatches: 0 }), 'INVALID_ARGUMENT');
  });
});
