import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { asRank, createLocalMeshes, type Frame, type FrameKey, type Mesh, type Rank } from '../../../comm/index.js';
import { withMeshes } from '../../kit/comm/all_to_all.js';
import { rejection, thrown } from '../../kit/errors.js';

const [R1, R2, R3] = [1, 2, 3].map(asRank) as [Rank, Rank, Rank];
const WAIT = { timeoutMs: 15_000 };
const keyOf = (step: number): FrameKey => ({ phase: 'dispatch', step, layer: 4, microBatch: 0, epoch: 0 });

function send(from: Mesh, step: number): void {
  const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 1 } as const;
  const route = { ...keyOf(step), source: from.rank, destination: asRank(0) };
  from.send(asRank(0), { ...route, ...rows }, [Uint8Array.of(from.rank)]);
}

const sourcesOf = (frames: readonly Frame[]): number[] => frames.map(({ payload }) => payload[0]!);

describe('one wait for the frames of several peers', () => {
  it('gives them at once where all are here, in the order of the peers, and nobody sleeps', async () => {
    await withMeshes(createLocalMeshes(4), async ([own, ...peers]) => {
      for (const peer of [...peers].reverse()) send(peer, 0);
      await nextTurn();
      const frames = own!.gather([R2, R1, R3], keyOf(0), WAIT);
      expect(frames).to.be.an('array');
      expect(sourcesOf(await frames)).to.deep.equal([2, 1, 3]);
      expect(own!.stats().wakeUps).to.equal(0);
    });
  });

  it('sleeps once, whatever the number of frames, and wakes in the turn in which the last one comes', async () => {
    await withMeshes(createLocalMeshes(4), async ([own, ...peers]) => {
      send(peers[2]!, 0);
      await nextTurn();
      const seen: number[] = [];
      const waiting = own!.gather([R1, R2, R3], keyOf(0), WAIT, { onFrame: (peer) => seen.push(peer) });
      expect(waiting).to.be.a('promise');
      let isHere = false;
      const done = Promise.resolve(waiting).then((frames) => {
        isHere = true;
        return frames;
      });
      send(peers[0]!, 0);
      await nextTurn();
      expect(isHere).to.equal(false);
      send(peers[1]!, 0);
      await nextTurn();
      expect(isHere).to.equal(true);
      expect(sourcesOf(await done)).to.deep.equal([1, 2, 3]);
      expect(seen).to.deep.equal([3, 1, 2]);
      expect(own!.stats().wakeUps).to.equal(1);
    });
  });

  it('ends for all with the first failure, and then awaits none of them any more', async () => {
    await withMeshes(createLocalMeshes(4), async ([own, ...peers]) => {
      const waiting = Promise.resolve(own!.gather([R1, R2, R3], keyOf(0), WAIT));
      const failed = rejection(waiting, 'PEER_LOST', { rank: R2, layer: 4, phase: 'dispatch' });
      await peers[1]!.close();
      await failed;
      const again = own!.receive(R1, keyOf(0), WAIT); // else it would be received twice
      send(peers[0]!, 0);
      expect(sourcesOf([await again])).to.deep.equal([1]);
      thrown(() => own!.gather([R1, R2], keyOf(1), WAIT), 'PEER_LOST', { rank: R2 });
    });
  });

  it('names every silent peer when its time is over', async () => {
    await withMeshes(createLocalMeshes(4), async ([own, ...peers]) => {
      const waiting = Promise.resolve(own!.gather([R1, R2, R3], keyOf(0), { timeoutMs: 60 }));
      const failed = rejection(waiting, 'TIMEOUT', { rank: R1, layer: 4, phase: 'dispatch' });
      send(peers[1]!, 0);
      const { message, waitedMs } = await failed;
      expect(message).to.contain('silent too: rank 3');
      expect(waitedMs).to.equal(60);
    });
  });

  it('goes on without those that its caller gives up, also when they were lost before', async () => {
    await withMeshes(createLocalMeshes(4), async ([own, ...peers]) => {
      await peers[2]!.close();
      const givenUp: Rank[] = [];
      const onFailure = (peer: Rank): boolean => givenUp.push(peer) > 0;
      const waiting = own!.gather([R1, R2, R3], keyOf(0), WAIT, { onFailure });
      await peers[0]!.close();
      send(peers[1]!, 0);
      expect(sourcesOf(await waiting)).to.deep.equal([2]);
      expect(givenUp).to.deep.equal([R3, R1]);
    });
  });

  it('isn’t disturbed by a second call for a frame of its own', async () => {
    await withMeshes(createLocalMeshes(4), async ([own, ...peers]) => {
      const first = own!.gather([R1, R2], keyOf(0), WAIT);
      thrown(() => own!.gather([R3, R2], keyOf(0), WAIT), 'INVALID_ARGUMENT', { rank: undefined });
      for (const peer of peers) send(peer, 0);
      expect(sourcesOf(await first)).to.deep.equal([1, 2]);
      expect(sourcesOf([await own!.receive(R3, keyOf(0), WAIT)])).to.deep.equal([3]);
    });
  });

  it('leaves no listener with its signal, and never begins where that was aborted before', async () => {
    await withMeshes(createLocalMeshes(2), async ([own, peer]) => {
      const abort = new AbortController();
      const { signal } = abort;
      const listening = (): number => getEventListeners(signal, 'abort').length;
      const waiting = own!.gather([R1], keyOf(0), { ...WAIT, signal });
      expect(listening()).to.equal(1);
      send(peer!, 0);
      await waiting;
      expect(listening()).to.equal(0);
      abort.abort();
      thrown(() => own!.gather([R1], keyOf(1), { ...WAIT, signal }), 'ABORTED', { rank: R1 });
    });
  });
});
