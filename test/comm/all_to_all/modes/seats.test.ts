import { expect } from 'chai';
import { asRank, LocalNetwork, type AllToAll, type Mesh } from '../../../../comm/index.js';
import { endpointsOf, runExperts, tagOf } from '../../../kit/comm/all_to_all.js';
import { expectReceived, expectSums, inputsOf, REDUCES } from '../../../kit/comm/exact_all_to_all.js';
import { refWithout } from '../../../refs/all_to_all_ref.js';

describe('all-to-all over seats', () => {
  const shape = { size: 4, hidden: 5, numTopk: 3, slotsPerRank: 2 };
  const inputs = inputsOf([5, 4, 3, 2], shape, 21);
  const WAIT = { timeoutMs: 10_000 };

  for (const reduce of REDUCES) {
    it(`is exact for whoever has a seat in each epoch, with the tags of those before: reduce ${reduce}`, async () => {
      const network = new LocalNetwork(shape.size);
      const meshes = new Map<number, Mesh>(network.openFirst(3).entries());
      const endpoints = new Map<number, AllToAll>();
      const opened = [...meshes.values()];
      let epoch = 0;

      /** All who are there enter an epoch, in which nobody else is heard, and do one round trip. */
      const exchange = async (): Promise<void> => {
        for (const [rank, mesh] of meshes) {
          if (!endpoints.has(rank)) endpoints.set(rank, endpointsOf([mesh], shape, reduce)[0]!);
          const ep = endpoints.get(rank)!;
          ep.clearMask();
          for (let seat = 0; seat < shape.size; seat++) if (!meshes.has(seat)) ep.maskRank(asRank(seat));
          mesh.advanceEpoch(epoch);
        }
        const tag = tagOf(1, 0, epoch++);
        const empty = inputs.flatMap((_, seat) => (meshes.has(seat) ? [] : [seat]));
        const heard = inputs.map((input, seat) => {
          const left = refWithout(input, shape, empty);
          return meshes.has(seat)
            ? left
            : { ...left, x: new Float32Array(0), topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
        });
        const ranks = [...meshes.keys()];
        const received = await Promise.all(
          ranks.map((rank) => endpoints.get(rank)!.dispatch({ ...inputs[rank]!, tag })),
        );
        for (const [i, recv] of received.entries()) expectReceived(recv, heard, shape, ranks[i]!);
        const y = await Promise.all(
          ranks.map((rank, i) =>
            endpoints.get(rank)!.combine(runExperts(received[i]!, rank, shape), received[i]!.handle),
          ),
        );
        for (const [i, rows] of y.entries()) expectSums([rows], [heard[ranks[i]!]!], shape, reduce);
      };
      const join = async (seat: number): Promise<void> => {
        const newcomer = network.open(seat);
        const address = (rank: number) => ({ host: 'here', port: 1, ticket: `${epoch} ${rank}` });
        const links = [...meshes].flatMap(([rank, mesh]) => [
          mesh.admit(newcomer.rank, address(rank), WAIT),
          newcomer.admit(mesh.rank, address(rank), WAIT),
        ]);
        await Promise.all(links);
        meshes.set(seat, newcomer);
        opened.push(newcomer);
      };
      const leave = (seat: number): void => {
        endpoints.delete(seat);
        meshes.delete(seat);
        for (const mesh of meshes.values()) mesh.dismiss(asRank(seat), 'it leaves');
      };

      await exchange();
      await join(3);
      await exchange();
      leave(1);
      await exchange();
      await join(1);
      await exchange();
      for (const seat of [0, 1, 2]) leave(seat);
      expect(endpoints.get(3)!.alone).to.equal(null); // until the epoch
      await exchange();
      expect(endpoints.get(3)!.alone).not.to.equal(null);
      await join(2);
      await exchange();
      await Promise.all(opened.map((mesh) => mesh.close()));
    });
  }
});
