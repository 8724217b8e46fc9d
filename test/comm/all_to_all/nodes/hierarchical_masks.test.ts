import { expect } from 'chai';
import fc from 'fast-check';
import { asRank, type Mesh, type Reduce } from '../../../../comm/index.js';
import { endpointsWith, runExperts, tagOf } from '../../../kit/comm/all_to_all.js';
import {
  bits,
  changedTokens,
  expectedOutput,
  expectReceived,
  optionsOf,
  randomInputs,
  withMeshes,
  withoutRank,
  type NodesCase,
} from '../../../kit/comm/nodes.js';
import { thrown } from '../../../kit/errors.js';

const REDUCES = ['rank', 'source'] as const;

describe('hierarchical masks', () => {
  const shape = { size: 6, hidden: 5, numTopk: 4, slotsPerRank: 2 };
  const [ranksPerNode, dead] = [2, 3];
  const alive = [0, 1, 2, 4, 5];
  // Of rank 3: rank 2 is on its node, ranks 1 and 5 have its local number; ranks 0 and 4 exchange nothing with it.
  const inputs = randomInputs([5, 6, 4, 3, 0, 7], shape, 21);
  const caseOf = (reduce: Reduce): NodesCase => ({ shape, ranksPerNode, reduce });

  /** What survivors get: everything but what the dead rank takes along, and they know which tokens those are. */
  async function expectWithout(
    meshes: readonly Mesh[],
    one: NodesCase,
    kill: (meshes: readonly Mesh[]) => Promise<void>,
    step = 0,
  ): Promise<number[][]> {
    const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), onPeerLoss: 'mask', timeoutMs: 5000 });
    await kill(meshes);
    const left = withoutRank(inputs, dead, one);
    const received = await Promise.all(
      alive.map((rank) => endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(step) })),
    );
    for (const [i, rank] of alive.entries()) expectReceived(received[i]!, left, one, rank);
    const y = await Promise.all(
      alive.map((rank, i) => endpoints[rank]!.combine(runExperts(received[i]!, rank, shape), received[i]!.handle)),
    );
    for (const [i, rank] of alive.entries()) {
      expect(bits(y[i]!)).to.deep.equal(bits(expectedOutput(left[rank]!, one)));
      const lost = changedTokens(inputs[rank]!, left[rank]!, shape);
      expect([...received[i]!.degraded.rows()]).to.deep.equal(lost);
      expect(endpoints[rank]!.stats().numDegradedTokens).to.equal(lost.length);
    }
    return alive.map((rank) => [...endpoints[rank]!.maskedRanks()]);
  }

  for (const reduce of REDUCES) {
    it(`take the tokens that would go through a lost rank, and no others: ${reduce}`, async () => {
      await withMeshes(6, async (meshes) => {
        const masks = await expectWithout(meshes, caseOf(reduce), () => meshes[dead]!.close());
        expect(masks, 'only those who exchange frames with it notice').to.deep.equal([[], [3], [3], [], [3]]);
      });
    });

    it(`that every rank set beforehand give the same: ${reduce}`, async () => {
      await withMeshes(6, async (meshes) => {
        const one = caseOf(reduce);
        const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 5000 });
        for (const rank of alive) endpoints[rank]!.maskRank(asRank(dead));
        const left = withoutRank(inputs, dead, one);
        const run = async (rank: number): Promise<void> => {
          const recv = await endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf() });
          expectReceived(recv, left, one, rank);
          const y = await endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle);
          expect(bits(y)).to.deep.equal(bits(expectedOutput(left[rank]!, one)));
          expect([...recv.degraded.rows()]).to.deep.equal(changedTokens(inputs[rank]!, left[rank]!, shape));
        };
        await Promise.all(alive.map(run));
      });
    });

    it(`cover a rank that is lost between dispatch and combine: ${reduce}`, async () => {
      await withMeshes(6, async (meshes) => {
        const one = caseOf(reduce);
        const options = { ...optionsOf(one), onPeerLoss: 'mask', timeoutMs: 5000 } as const;
        const endpoints = endpointsWith(meshes, shape, options);
        const received = await Promise.all(
          endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })),
        );
        for (const [rank, recv] of received.entries()) expectReceived(recv, inputs, one, rank);
        await meshes[dead]!.close();
        const left = withoutRank(inputs, dead, one);
        const y = await Promise.all(
          alive.map((rank) =>
            endpoints[rank]!.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle),
          ),
        );
        for (const [i, rank] of alive.entries()) {
          expect(bits(y[i]!)).to.deep.equal(bits(expectedOutput(left[rank]!, one)));
          const lost = changedTokens(inputs[rank]!, left[rank]!, shape);
          expect([...received[rank]!.degraded.rows()]).to.deep.equal(lost);
        }
      });
    });

    it(`blame a silent rank, never the relay that waited for it: ${reduce}`, async () => {
      await withMeshes(6, async (meshes) => {
        const one = caseOf(reduce);
        const options = { ...optionsOf(one), onPeerLoss: 'mask', timeoutMs: 300 } as const;
        const endpoints = endpointsWith(meshes, shape, options);
        const y = await Promise.all(
          alive.map(async (rank) => {
            const recv = await endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf() });
            return endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle);
          }),
        );
        const left = withoutRank(inputs, dead, one);
        for (const [i, rank] of alive.entries()) {
          expect(bits(y[i]!)).to.deep.equal(bits(expectedOutput(left[rank]!, one)));
        }
        const masks = alive.map((rank) => [...endpoints[rank]!.maskedRanks()]);
        expect(masks).to.deep.equal([[], [3], [3], [], [3]]);
      });
    });

    it(`serve cached handles while they last, and refuse them once cleared: ${reduce}`, async () => {
      await withMeshes(6, async (meshes) => {
        const one = caseOf(reduce);
        const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 5000 });
        // Only those who exchange frames with rank 3 mask it, as after its loss.
        for (const rank of [1, 2, 5]) endpoints[rank]!.maskRank(asRank(dead));
        const left = withoutRank(inputs, dead, one);
        const first = await Promise.all(
          alive.map((rank) => endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf() })),
        );
        const again = await Promise.all(
          alive.map((rank, i) =>
            endpoints[rank]!.dispatch({ x: inputs[rank]!.x, handle: first[i]!.handle, tag: tagOf(1) }),
          ),
        );
        for (const [i, rank] of alive.entries()) expectReceived(again[i]!, left, one, rank);
        const y = await Promise.all(
          alive.map((rank, i) => endpoints[rank]!.combine(runExperts(again[i]!, rank, shape), again[i]!.handle)),
        );
        for (const [i, rank] of alive.entries()) {
          expect(bits(y[i]!)).to.deep.equal(bits(expectedOutput(left[rank]!, one)));
        }
        for (const rank of [1, 2, 5]) {
          endpoints[rank]!.clearMask();
          const { handle } = again[alive.indexOf(rank)]!;
          const request = { x: inputs[rank]!.x, handle, tag: tagOf(2) };
          const error = thrown(() => endpoints[rank]!.startDispatch(request), 'INVALID_ARGUMENT');
          expect(error.message).to.contain('rank 3 was masked');
        }
      });
    });
  }

  it('cover any ranks lost before dispatch or before combine, on any nodes', async () => {
    const world = fc
      .record({
        ranksPerNode: fc.integer({ min: 1, max: 4 }),
        numNodes: fc.integer({ min: 1, max: 3 }),
        deadSeeds: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
        isBeforeDispatch: fc.boolean(),
        reduce: fc.constantFrom(...REDUCES),
        seed: fc.integer(),
      })
      .map(({ numNodes, ...rest }) => ({ ...rest, size: numNodes * rest.ranksPerNode }));
    await fc.assert(
      fc.asyncProperty(world, async ({ size, deadSeeds, isBeforeDispatch, seed, ...rest }) => {
        const dead = new Set(deadSeeds.map((deadSeed) => deadSeed % size));
        const left = [...new Array(size).keys()].filter((rank) => !dead.has(rank));
        const one: NodesCase = { shape: { size, hidden: 3, numTopk: 3, slotsPerRank: 2 }, ...rest };
        const whole = randomInputs(new Array<number>(size).fill(5), one.shape, seed);
        const expected = [...dead].reduce((inputs, rank) => withoutRank(inputs, rank, one), whole);
        await withMeshes(size, async (meshes) => {
          const options = { ...optionsOf(one), onPeerLoss: 'mask', timeoutMs: 5000 } as const;
          const endpoints = endpointsWith(meshes, one.shape, options);
          const kill = (): Promise<unknown> => Promise.all([...dead].map((rank) => meshes[rank]!.close()));
          if (isBeforeDispatch) await kill();
          const calling = isBeforeDispatch ? left : [...endpoints.keys()];
          const received = new Map(
            await Promise.all(
              calling.map(
                async (rank) => [rank, await endpoints[rank]!.dispatch({ ...whole[rank]!, tag: tagOf() })] as const,
              ),
            ),
          );
          if (!isBeforeDispatch) await kill();
          await Promise.all(
            left.map(async (rank) => {
              const recv = received.get(rank)!;
              expectReceived(recv, isBeforeDispatch ? expected : whole, one, rank);
              const y = await endpoints[rank]!.combine(runExperts(recv, rank, one.shape), recv.handle);
              expect(bits(y)).to.deep.equal(bits(expectedOutput(expected[rank]!, one)));
              expect([...recv.degraded.rows()]).to.deep.equal(changedTokens(whole[rank]!, expected[rank]!, one.shape));
            }),
          );
        });
      }),
      { numRuns: 100, seed: 20240609 },
    );
  });

  it('set after the dispatch of a cached handle take their ranks out of it', async () => {
    await withMeshes(6, async (meshes) => {
      const one = caseOf('rank');
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 5000 });
      const first = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })));
      for (const rank of alive) endpoints[rank]!.maskRank(asRank(dead));
      const left = withoutRank(inputs, dead, one);
      const run = async (rank: number): Promise<void> => {
        const recv = await endpoints[rank]!.dispatch({
          x: inputs[rank]!.x,
          handle: first[rank]!.handle,
          tag: tagOf(1),
        });
        expectReceived(recv, left, one, rank);
        const y = await endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle);
        expect(bits(y)).to.deep.equal(bits(expectedOutput(left[rank]!, one)));
        expect([...recv.degraded.rows()]).to.deep.equal(changedTokens(inputs[rank]!, left[rank]!, shape));
      };
      await Promise.all(alive.map(run));
    });
  });
});
