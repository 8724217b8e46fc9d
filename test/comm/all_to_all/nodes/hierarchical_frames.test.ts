import { asRank, FRAME_FLAGS, type FrameHeader, type Mesh } from '../../../../comm/index.js';
import { endpointsWith, runExperts, tagOf } from '../../../kit/comm/all_to_all.js';
import { optionsOf, randomInputs, withMeshes } from '../../../kit/comm/nodes.js';
import { rejection } from '../../../kit/errors.js';

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
