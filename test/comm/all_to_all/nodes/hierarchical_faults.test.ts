import { expect } from 'chai';
import fc from 'fast-check';
import {
  asRank,
  createLocalMeshes,
  FRAME_FLAGS,
  type FrameHeader,
  type Mesh,
  type Reduce,
} from '../../../../comm/index.js';
import { endpointsWith, roundTripOf, runExperts, tagOf } from '../../../kit/all_to_all.js';
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
} from '../../../kit/nodes.js';
import { rejection, thrown } from '../../../kit/errors.js';
import type { RefInput } from '../../../refs/all_to_all_ref.js';

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

describe('hierarchical failures', () => {
  const shape = { size: 6, hidden: 4, numTopk: 2, slotsPerRank: 2 };
  const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
  const inputs = randomInputs([4, 4, 4, 4, 4, 4], shape, 8);

  // Rank 5 exchanges frames with 4 on its node and with 1 and 3; 0 and 2 hear of it from their relays.
  const whoSees = (rank: number): 'PEER_LOST' | 'PEER_FAILED' => ([0, 2].includes(rank) ? 'PEER_FAILED' : 'PEER_LOST');

  it('reach every rank at once when one is lost before dispatch, by its name', async () => {
    await withMeshes(6, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
      await meshes[5]!.close();
      await Promise.all(
        [0, 1, 2, 3, 4].map(async (rank) => {
          const call = endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) });
          const error = await rejection(call, whoSees(rank), { rank: asRank(5), layer: 4 });
          expect(error.phase).to.match(/^dispatch/);
        }),
      );
    });
  });

  it('reach every rank at once when one is lost before combine, by its name', async () => {
    await withMeshes(6, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
      const received = await Promise.all(
        endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) })),
      );
      await meshes[5]!.close();
      await Promise.all(
        [0, 1, 2, 3, 4].map(async (rank) => {
          const call = endpoints[rank]!.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle);
          const error = await rejection(call, whoSees(rank), { rank: asRank(5), layer: 4 });
          expect(error.phase).to.match(/^combine/);
        }),
      );
    });
  });

  it('name a rank that never calls', async () => {
    await withMeshes(4, async (meshes) => {
      const endpoints = endpointsWith(meshes, { ...shape, size: 4 }, { ...optionsOf(one), timeoutMs: 60 });
      const few = randomInputs([1, 1, 1, 1], { ...shape, size: 4 }, 8);
      const calls = [0, 1, 2].map((rank) => endpoints[rank]!.dispatch({ ...few[rank]!, tag: tagOf() }));
      await Promise.all([
        rejection(calls[0]!, 'PEER_FAILED', { rank: asRank(3), phase: 'dispatch' }),
        rejection(calls[1]!, 'TIMEOUT', { rank: asRank(3), phase: 'dispatch_node', waitedMs: 60 }),
        rejection(calls[2]!, 'TIMEOUT', { rank: asRank(3), phase: 'dispatch', waitedMs: 120 }),
      ]);
    });
  });

  it('end by the signal, and the step runs again in a new epoch', async () => {
    await withMeshes(6, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 5000 });
      const abort = new AbortController();
      const calls = [0, 1, 2, 3].map((rank) =>
        rejection(endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4), signal: abort.signal }), 'ABORTED'),
      );
      abort.abort();
      await Promise.all(calls);
      for (const mesh of meshes) mesh.advanceEpoch(1);
      const { y } = await roundTripOf(endpoints, shape, inputs, tagOf(1, 4, 1));
      for (const [rank, row] of y.entries()) expect(bits(row)).to.deep.equal(bits(expectedOutput(inputs[rank]!, one)));
    });
  });
});

describe('hierarchical limits', () => {
  const shape = { size: 4, hidden: 4, numTopk: 1, slotsPerRank: 1 };
  const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
  const rowBytes = 4 * 4 + 6;
  const tokensFor = (...experts: number[]): RefInput => ({
    x: new Float32Array(experts.length * 4),
    topkIdx: Int32Array.from(experts),
    topkWeights: new Float32Array(experts.length),
  });

  function withLimit<T>(maxFrameBytes: number, body: (meshes: readonly Mesh[]) => Promise<T>): Promise<T> {
    return withMeshes(createLocalMeshes(4, { maxFrameBytes }), body);
  }

  it('are kept before anything is sent where the source knows them', async () => {
    await withLimit(40 + 2 * rowBytes, async (meshes) => {
      const [ep] = endpointsWith(meshes, shape, optionsOf(one));
      const where = { rank: asRank(2), layer: 0, phase: 'dispatch_node' };
      await rejection(ep!.dispatch({ ...tokensFor(2, 3, 2), tag: tagOf() }), 'LIMIT', where);
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 0, 0, 0]);
    });
  });

  it('are kept by the relay, and the ranks that wait for it are told', async () => {
    await withLimit(40 + 8 + 2 * rowBytes, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
      // Ranks 0 and 2 have two tokens each for rank 3: relay 2 would forward four.
      const inputs = [tokensFor(3, 3), tokensFor(), tokensFor(3, 3), tokensFor()];
      const calls = endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() }));
      await Promise.all([
        rejection(calls[2]!, 'LIMIT', { rank: asRank(3), phase: 'dispatch' }),
        rejection(calls[3]!, 'PEER_FAILED', { rank: asRank(2), phase: 'dispatch' }),
        calls[0],
        calls[1],
      ]);
    });
  });

  it('of the way back are kept before anything is sent', async () => {
    const wire = { dispatch: 'bf16', combine: 'f32' } as const;
    await withLimit(40 + 8 + 5 * (4 * 2 + 6), async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf({ ...one, wire }), timeoutMs: 5000 });
      const inputs = [tokensFor(2, 2, 2, 2, 2), tokensFor(), tokensFor(), tokensFor()];
      const received = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })));
      const sent = meshes[2]!.stats().framesSent;
      const where = { rank: asRank(0), phase: 'combine_node' };
      thrown(() => endpoints[2]!.startCombine(new Float32Array(20), received[2]!.handle), 'LIMIT', where);
      expect(meshes[2]!.stats().framesSent).to.deep.equal(sent);
    });
  });

  it('of a node’s slots are those of 16 bits', async () => {
    await withMeshes(4, async (meshes) => {
      const many = { ...shape, slotsPerRank: 20_000 };
      thrown(() => endpointsWith(meshes, many, optionsOf(one)), 'INVALID_ARGUMENT');
      thrown(() => endpointsWith(meshes, shape, optionsOf({ ...one, ranksPerNode: 3 })), 'INVALID_ARGUMENT');
      endpointsWith(meshes, many, optionsOf(one, 'flat'));
      return Promise.resolve();
    });
  });
});

describe('hierarchical frames', () => {
  // Rank 0 has rank 1 on its node, and rank 2 as its relay.
  const shape = { size: 4, hidden: 4, numTopk: 2, slotsPerRank: 3 };
  const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
  const inputs = randomInputs([3, 3, 3, 3], shape, 5);
  const rowBytes = 4 * 4 + 2 * 6;

  function send(mesh: Mesh, to: number, fields: Partial<FrameHeader>, payload: Uint8Array): void {
    const header: FrameHeader = {
      ...{ phase: 'dispatch_node', source: mesh.rank, destination: asRank(to), ...tagOf() },
      ...{ numRows: 0, hidden: 4, numTopk: 2, dtype: 'f32', flags: 0, payloadBytes: payload.byteLength },
      ...fields,
    };
    mesh.send(asRank(to), header, [payload]);
  }

  function payloadOf(counts: readonly number[], slots: readonly number[]): Uint8Array {
    const numRows = slots.length / 2;
    const bytes = new Uint8Array(4 * counts.length + numRows * rowBytes);
    new Uint32Array(bytes.buffer, 0, counts.length).set(counts);
    new Int16Array(bytes.buffer, 4 * counts.length + numRows * (rowBytes - 4), slots.length).set(slots);
    return bytes;
  }

  for (const [what, fields, payload] of [
    ['a slot that the node has not', { numRows: 1 }, payloadOf([], [6, -1])],
    ['a slot below −1', { numRows: 1 }, payloadOf([], [-2, 0])],
    ['a row without a slot', { numRows: 2 }, payloadOf([], [0, 1, -1, -1])],
    ['more rows than bytes', { numRows: 0xffffffff }, payloadOf([], [0, 1])],
    ['the flag of the other hop', { flags: FRAME_FLAGS.hierarchical }, payloadOf([], [])],
    ['the flag of a cached handle', { flags: FRAME_FLAGS.cached }, payloadOf([], [])],
    ['another dtype', { dtype: 'bf16' }, payloadOf([], [])],
  ] as const) {
    it(`between nodes with ${what}: PROTOCOL with rank, layer and phase, and the node is told`, async () => {
      await withMeshes(4, async (meshes) => {
        const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
        send(meshes[2]!, 0, fields, payload);
        // Rank 1's relay is rank 3.
        send(meshes[3]!, 1, {}, payloadOf([], []));
        const calls = [0, 1].map((rank) => endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf() }));
        await Promise.all([
          rejection(calls[0]!, 'PROTOCOL', { rank: asRank(2), layer: 0, phase: 'dispatch_node' }),
          rejection(calls[1]!, 'PEER_FAILED', { rank: asRank(2), layer: 0, phase: 'dispatch' }),
        ]);
      });
    });
  }

  const hierarchical = FRAME_FLAGS.hierarchical;
  for (const [what, fields, payload] of [
    ['counts below its rows', { numRows: 2, flags: hierarchical }, payloadOf([1, 0], [0, 1, 0, 1])],
    ['counts above its rows', { numRows: 1, flags: hierarchical }, payloadOf([1, 1], [0, 1])],
    ['counts that overflow', { numRows: 1, flags: hierarchical }, payloadOf([2, 0xfffffffd], [0, 1])],
    ['no rows of its own', { flags: hierarchical }, payloadOf([0xffffffff, 0], [])],
    ['counts of three nodes', { flags: hierarchical }, payloadOf([0, 0, 0], [])],
    ['a slot that this rank has not', { numRows: 1, flags: hierarchical }, payloadOf([1, 0], [0, 3])],
    ['no counts, as a flat route sends', { numRows: 1 }, payloadOf([], [0, 1])],
  ] as const) {
    it(`inside a node with ${what}: PROTOCOL with rank, layer and phase`, async () => {
      await withMeshes(4, async (meshes) => {
        const [ep] = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
        send(meshes[2]!, 0, {}, payloadOf([], []));
        send(meshes[1]!, 0, { phase: 'dispatch', ...fields }, payload);
        const call = ep!.dispatch({ ...inputs[0]!, tag: tagOf() });
        await rejection(call, 'PROTOCOL', { rank: asRank(1), layer: 0, phase: 'dispatch' });
      });
    });
  }

  for (const [what, phase, from, numRows, flags, numBytes, state] of [
    ['combine inside a node with too many rows', 'combine', 1, 99, hierarchical, 99 * 16, 0],
    ['combine inside a node without its flag', 'combine', 1, null, 0, null, 0],
    ['combine between nodes with too many rows', 'combine_node', 2, 99, 0, 99 * 16 + 2, 0],
    ['combine between nodes with too few bytes', 'combine_node', 2, null, 0, 1, 0],
    ['combine between nodes with an unknown state', 'combine_node', 2, null, 0, null, 3],
    ['combine between nodes without its own rows', 'combine_node', 2, null, 0, null, 1],
  ] as const) {
    it(`of a ${what}: PROTOCOL with rank, layer and phase`, async () => {
      await withMeshes(4, async (meshes) => {
        const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
        const received = await Promise.all(
          endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })),
        );
        const way = phase === 'combine' ? 'dispatch' : 'dispatch_node';
        const rows = numRows ?? endpoints[0]!.stats().traffic.find((traffic) => traffic.phase === way)!.rows[from]!;
        const payload = new Uint8Array(numBytes ?? rows * 16 + (phase === 'combine_node' ? 2 : 0));
        if (phase === 'combine_node' && payload.byteLength > 1) payload[payload.byteLength - 2] = state;
        send(meshes[from]!, 0, { phase, numRows: rows, flags }, payload);
        const combine = (rank: number): Promise<Float32Array> =>
          endpoints[rank]!.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle);
        const call = combine(0);
        // Who waits for rank 0 on the other node is told by it; the rest waits for a rank that never calls.
        const told = { rank: asRank(from), layer: 0, phase: 'combine_node' };
        const others =
          phase === 'combine'
            ? [rejection(combine(2), 'PEER_FAILED', told), rejection(combine(3), 'CLOSED')]
            : [rejection(combine(1), 'CLOSED')];
        await rejection(call, 'PROTOCOL', { rank: asRank(from), layer: 0, phase });
        if (phase === 'combine') await others[0];
        await Promise.all(meshes.map((mesh) => mesh.close()));
        await Promise.all(others);
      });
    });
  }
});
