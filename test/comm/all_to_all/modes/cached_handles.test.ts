import { expect } from 'chai';
import { asRank, createLocalMeshes, dispatchBytes, type DispatchResult } from '../../../../comm/index.js';
import {
  endpointsOf,
  randomInput,
  randomOf,
  roundTripOf,
  runExperts,
  tagOf,
  withMeshes,
} from '../../../kit/comm/all_to_all.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { refWithout, type RefInput } from '../../../refs/all_to_all_ref.js';
import {
  REDUCES,
  inputsOf,
  expectReceived,
  expectSums,
  countsOf,
  degradedOf,
} from '../../../kit/comm/exact_all_to_all.js';

describe('all-to-all with a cached handle', () => {
  const shape = {
    size: 3,
    hidden: 130,
    numTopk: 3,
    slotsPerRank: 2,
    wire: { dispatch: 'fp8', combine: 'bf16' } as const,
  };
  const inputs = inputsOf([5, 0, 6], shape, 10);
  /** The same routing with other rows. */
  const again = inputs.map((input, rank) => ({ ...inputsOf([5, 0, 6], shape, 11)[rank]!, ...routingOf(input) }));

  function routingOf({ topkIdx, topkWeights }: RefInput): Pick<RefInput, 'topkIdx' | 'topkWeights'> {
    return { topkIdx, topkWeights };
  }

  for (const reduce of REDUCES) {
    it(`goes the same way with other rows, again and again, and no routing travels: reduce ${reduce}`, async () => {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, reduce);
        let { received } = await roundTripOf(endpoints, shape, inputs);
        for (let step = 1; step <= 3; step++) {
          const before = endpoints.map((ep) => ep.sentBytes().dispatch);
          const rows = step === 2 ? inputs : again;
          received = await Promise.all(
            endpoints.map((ep, rank) =>
              ep.dispatch({ x: rows[rank]!.x, handle: received[rank]!.handle, tag: tagOf(step) }),
            ),
          );
          const y = await Promise.all(
            endpoints.map((ep, rank) => ep.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle)),
          );
          for (const [rank, recv] of received.entries()) {
            expectReceived(recv, rows, shape, rank);
            const { tokens } = countsOf(inputs[rank]!, shape);
            const bytes = endpoints[rank]!.sentBytes().dispatch.map((sum, peer) => sum - before[rank]![peer]!);
            const expected = tokens.map((n, peer) => (peer === rank ? 0 : 40 + n * (130 + 2 * 4)));
            expect(bytes).to.deep.equal(expected);
            const size = { hidden: 130, numTopk: 3, reduce, dtype: 'fp8', isCached: true } as const;
            expect(dispatchBytes(7, size)).to.equal(40 + 7 * (130 + 2 * 4));
          }
          expectSums(y, rows, shape, reduce);
        }
      });
    });
  }

  it('is refused by a peer that routes: PROTOCOL on both', async () => {
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const two = { ...shape, size: 2 };
      const endpoints = endpointsOf(meshes, two, 'rank');
      const [a, b] = inputsOf([3, 3], two, 12);
      const { received } = await roundTripOf(endpoints, two, [a!, b!]);
      const tag = tagOf(1);
      const errors = await Promise.all([
        rejection(endpoints[0]!.dispatch({ x: a!.x, handle: received[0]!.handle, tag }), 'PROTOCOL', {
          rank: asRank(1),
          phase: 'dispatch',
        }),
        rejection(endpoints[1]!.dispatch({ ...b!, tag }), 'PROTOCOL', { rank: asRank(0), phase: 'dispatch' }),
      ]);
      expect(errors[0].message).to.contain('mode plain, cached here');
      expect(errors[1].message).to.contain('mode cached, plain here');
    });
  });

  it('is refused where the peer passes the handle of another dispatch: PROTOCOL with both numbers', async () => {
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const two = { ...shape, size: 2 };
      const endpoints = endpointsOf(meshes, two, 'rank');
      const toPeer = (count: number): RefInput => randomInput(count, two, randomOf(1), () => 0);
      const first = await roundTripOf(endpoints, two, [toPeer(0), toPeer(3)], tagOf(0));
      const second = await roundTripOf(endpoints, two, [toPeer(0), toPeer(2)], tagOf(1));
      const tag = tagOf(2);
      const call = endpoints[0]!.dispatch({ x: new Float32Array(0), handle: first.received[0]!.handle, tag });
      const { handle } = second.received[1]!;
      const [error] = await Promise.all([
        rejection(call, 'PROTOCOL', { rank: asRank(1), layer: 0, phase: 'dispatch' }),
        endpoints[1]!.dispatch({ x: toPeer(2).x, handle, tag }),
      ]);
      expect(error.message).to.contain('2 rows for a cached handle of 3');
    });
  });

  it('is refused where it is foreign, of another T, or made while a rank was masked', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const others = endpointsOf(meshes, shape, 'rank');
      const { received } = await roundTripOf(endpoints, shape, inputs);
      const { handle } = received[0]!;
      const { x } = inputs[0]!;
      thrown(() => others[0]!.startDispatch({ x, handle, tag: tagOf(1) }), 'INVALID_ARGUMENT');
      const wrong = thrown(
        () => endpoints[0]!.startDispatch({ x: x.slice(130), handle, tag: tagOf(1) }),
        'INVALID_ARGUMENT',
      );
      expect(wrong.message).to.contain('520').and.contain('5 tokens');
      const survivors = endpoints.slice(0, 2);
      for (const ep of survivors) ep.maskRank(asRank(2));
      const masked = await roundTripOf(survivors, shape, inputs, tagOf(2));
      for (const ep of survivors) ep.clearMask();
      const request = { x, handle: masked.received[0]!.handle, tag: tagOf(3) };
      const refused = thrown(() => endpoints[0]!.startDispatch(request), 'INVALID_ARGUMENT');
      expect(refused.message).to.contain('rank 2 was masked');
    });
  });

  it('reports tokens as degraded that its routing had lost, and those of a rank masked since', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const cached = async (
        ranks: readonly number[],
        from: readonly DispatchResult[],
        step: number,
        lost: number[],
      ) => {
        const recv = await Promise.all(
          ranks.map((rank) =>
            endpoints[rank]!.dispatch({ x: again[rank]!.x, handle: from[rank]!.handle, tag: tagOf(step) }),
          ),
        );
        const y = await Promise.all(
          recv.map((one, rank) => endpoints[rank]!.combine(runExperts(one, rank, shape), one.handle)),
        );
        expectSums(
          y,
          again.map((input) => refWithout(input, shape, lost)),
          shape,
          'rank',
        );
        for (const [rank, { degraded }] of recv.entries()) {
          expect([...degraded.rows()]).to.deep.equal(degradedOf(again[rank]!, shape, lost));
        }
      };
      const whole = await roundTripOf(endpoints, shape, inputs, tagOf(0));
      for (const rank of [0, 1]) endpoints[rank]!.maskRank(asRank(2));
      await cached([0, 1], whole.received, 1, [2]);
      const routed = await roundTripOf(endpoints.slice(0, 2), shape, inputs, tagOf(2));
      await cached([0, 1], routed.received, 3, [2]);
    });
  });
});
