import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { asRank, createLocalMeshes, type Mesh } from '../../../../comm/index.js';
import { endpointsOf, roundTrip, runExperts, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { FaultyMesh } from '../../../kit/comm/faulty_mesh.js';
import { packedEndpointsOf } from '../../../kit/comm/low_latency.js';
import { REDUCES, inputsOf, expectReceived, expectSums } from '../../../kit/comm/exact_all_to_all.js';

describe('all-to-all with hooks', () => {
  const shape = { size: 3, hidden: 6, numTopk: 2, slotsPerRank: 2, wire: { dispatch: 'bf16' } as const };
  const inputs = inputsOf([4, 0, 5], shape, 8);

  for (const reduce of REDUCES) {
    it(`sends at the start and receives at the hook; the routing may change between: reduce ${reduce}`, async () => {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, reduce);
        const started = endpoints.map((ep, rank) => {
          const { x, topkIdx, topkWeights } = inputs[rank]!;
          const request = { x, topkIdx: topkIdx.slice(), topkWeights: topkWeights.slice(), tag: tagOf() };
          const pending = ep.startDispatch(request);
          request.topkIdx.fill(0);
          request.topkWeights.fill(NaN);
          return pending;
        });
        expect(meshes.map((mesh) => mesh.stats().framesSent.reduce((a, b) => a + b))).to.deep.equal([2, 2, 2]);
        await nextTurn();
        const received = await Promise.all(started.map((pending) => pending.hook()));
        for (const [rank, recv] of received.entries()) expectReceived(recv, inputs, shape, rank);
        const combines = endpoints.map((ep, rank) =>
          ep.startCombine(runExperts(received[rank]!, rank, shape), received[rank]!.handle),
        );
        expect(meshes.map((mesh) => mesh.stats().framesSent.reduce((a, b) => a + b))).to.deep.equal([4, 4, 4]);
        await nextTurn();
        expectSums(await Promise.all(combines.map((pending) => pending.hook())), inputs, shape, reduce);
      });
    });
  }

  it('lets small frames go before it returns, so that compute may follow at once', async () => {
    const log: string[] = [];
    class Logged extends FaultyMesh {
      override flush(): void {
        log.push('flush');
        super.flush();
      }
    }
    const ranks = { size: 4, hidden: 6, numTopk: 2, slotsPerRank: 2, maxTokensPerRank: 4 };
    const input = inputsOf([4, 4, 4, 4], ranks, 8)[0]!;
    const starts: ((mesh: Mesh) => unknown)[] = [
      (mesh) => endpointsOf([mesh], ranks, 'rank')[0]!.startDispatch({ ...input, tag: tagOf() }),
      (mesh) => {
        const topology = { ranksPerNode: 2, route: 'hierarchical' } as const;
        return endpointsOf([mesh], ranks, 'rank', 5000, { topology })[0]!.startDispatch({ ...input, tag: tagOf() });
      },
      (mesh) => {
        const topkIdx = Int32Array.of(0, 3, 1, 5, 2, 7, 4, 6);
        return packedEndpointsOf([mesh], ranks)[0]!.startDispatch({ x: input.x, topkIdx, tag: tagOf() });
      },
    ];
    for (const start of starts) {
      await withMeshes(createLocalMeshes(4), ([mesh]) => {
        log.length = 0;
        start(new Logged(mesh!, () => log.push('send')));
        expect(log.filter((what) => what === 'send').length).to.be.at.least(1);
        expect(log.at(-1)).to.equal('flush');
        return Promise.resolve();
      });
    }
  });

  it('refuses a second call of a hook, and says so', async () => {
    await withMeshes(createLocalMeshes(1), async (meshes) => {
      const [ep] = endpointsOf(meshes, { ...shape, size: 1 }, 'rank');
      const topkIdx = inputs[0]!.topkIdx.map(() => 0);
      const pending = ep!.startDispatch({ ...inputs[0]!, topkIdx, tag: tagOf() });
      const { recvX, handle } = await pending.hook();
      expect((await rejection(pending.hook(), 'INVALID_ARGUMENT')).message).to.contain(
        'hook of a dispatch was called twice',
      );
      const combining = ep!.startCombine(recvX, handle);
      await combining.hook();
      await rejection(combining.hook(), 'INVALID_ARGUMENT', { phase: 'combine' });
    });
  });

  it('interleaves two micro-batches', async () => {
    await withMeshes(createLocalMeshes(3, { microBatches: 2 }), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const batches = [inputs, inputsOf([1, 6, 2], shape, 9)];
      const run = async (rank: number): Promise<Float32Array[]> => {
        const ep = endpoints[rank]!;
        const order = rank === 1 ? [1, 0] : [0, 1];
        const dispatches = order.map((microBatch) =>
          ep.startDispatch({ ...batches[microBatch]![rank]!, tag: { ...tagOf(), microBatch } }),
        );
        const combines = [];
        for (const pending of dispatches) {
          const recv = await pending.hook();
          combines.push(ep.startCombine(runExperts(recv, rank, shape), recv.handle));
        }
        const y = await Promise.all(combines.map((pending) => pending.hook()));
        return rank === 1 ? y.reverse() : y;
      };
      const y = await Promise.all([0, 1, 2].map(run));
      for (const [b, batch] of batches.entries())
        expectSums(
          y.map((both) => both[b]!),
          batch,
          shape,
          'rank',
        );
    });
  });

  it('waits for more than ten peers without a warning of Node’s', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    try {
      const many = { ...shape, size: 13 };
      const none = inputsOf(new Array<number>(13).fill(0), many, 1);
      await withMeshes(createLocalMeshes(13), (meshes) => roundTrip(meshes, many, none, 'rank'));
      await nextTurn();
      expect(warnings).to.deep.equal([]);
    } finally {
      process.off('warning', note);
    }
  });

  it('throws at once what is wrong at once, and leaves no rejection behind where a hook is never called', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const [ep] = endpointsOf(meshes, shape, 'rank');
        const request = { ...inputs[0]!, tag: tagOf() };
        thrown(() => ep!.startDispatch({ ...request, x: new Float32Array(5) }), 'INVALID_ARGUMENT');
        thrown(() => ep!.startCombine(new Float32Array(0), { tag: tagOf() }), 'INVALID_ARGUMENT', { phase: 'combine' });
        const abort = new AbortController();
        ep!.startDispatch({ ...request, signal: abort.signal });
        abort.abort();
        await meshes[2]!.close();
        const where = { rank: asRank(2), layer: 0, phase: 'dispatch' };
        thrown(() => ep!.startDispatch({ ...request, tag: tagOf(1) }), 'PEER_LOST', where);
      });
      for (let turn = 0; turn < 5; turn++) await nextTurn();
      expect(unhandled).to.deep.equal([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});
