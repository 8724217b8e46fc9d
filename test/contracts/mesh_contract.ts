/** What every Mesh promises; run on each implementation. */
import { expect } from 'chai';
import {
  asRank,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  type FrameKey,
  type Mesh,
  type MeshLimits,
} from '../../comm/index.js';
import { rejection, thrown } from '../kit/errors.js';

export type OpenMeshes = (size: number, limits?: MeshLimits) => Promise<Mesh[]>;

const WAIT = { timeoutMs: 5000 };
const [R0, R1, R2] = [asRank(0), asRank(1), asRank(2)];

function key(fields: Partial<FrameKey> = {}): FrameKey {
  return { phase: 'dispatch', step: 1, layer: 2, microBatch: 0, epoch: 0, ...fields };
}

function send(from: Mesh, to: number, fields: Partial<FrameHeader>, payload: Uint8Array = new Uint8Array(0)): void {
  const route = { ...key(), source: from.rank, destination: asRank(to) };
  const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0 } as const;
  from.send(asRank(to), { ...route, ...rows, payloadBytes: payload.byteLength, ...fields }, [payload]);
}

/** Random-looking bytes that differ per seed. */
function pattern(numBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(numBytes);
  for (let i = 0; i < numBytes; i++) bytes[i] = (i * 31 + (i >> 8) + seed * 97) & 0xff;
  return bytes;
}

/**
 * `overrun`: what befalls a sender that runs ahead of the bound. 'cut': its peer cuts it off. 'held': its frames wait
 * with itself until they are taken, up to the bound once more, and then it is told LIMIT. 'lost': as 'held', but
 * instead of being told it loses that peer.
 */
export function meshContract(name: string, open: OpenMeshes, overrun: 'cut' | 'held' | 'lost' = 'cut'): void {
  describe(`${name} keeps the mesh contract`, () => {
    let meshes: Mesh[] = [];
    const start = async (size: number, limits?: MeshLimits): Promise<[Mesh, Mesh, Mesh]> => {
      meshes = await open(size, limits);
      return meshes as [Mesh, Mesh, Mesh];
    };

    afterEach(async () => {
      await Promise.all(meshes.map((mesh) => mesh.close()));
      meshes = [];
    });

    for (const size of [1, 2, 3, 5]) {
      it(`carries a frame between every pair of ${size} ranks`, async () => {
        await start(size);
        for (const mesh of meshes) {
          for (const peer of meshes) if (peer !== mesh) send(mesh, peer.rank, {}, pattern(100, mesh.rank));
        }
        for (const mesh of meshes) {
          expect([mesh.size, meshes[mesh.rank]]).to.deep.equal([size, mesh]);
          for (const peer of meshes) {
            if (peer === mesh) continue;
            const { header, payload } = await mesh.receive(peer.rank, key(), WAIT);
            expect([header.source, header.destination]).to.deep.equal([peer.rank, mesh.rank]);
            expect(payload).to.deep.equal(pattern(100, peer.rank));
          }
        }
      });
    }

    it('matches frames by tag, whatever the order of sends and receives', async () => {
      const [a, b] = await start(2);
      const tags = [{ layer: 3 }, { step: 9 }, { microBatch: 1 }, { phase: 'combine' as const }, { epoch: 1 }];
      const early = tags.map((tag) => b.receive(R0, key(tag), WAIT));
      for (const [i, tag] of [...tags.entries()].reverse()) send(a, 1, tag, pattern(8, i));
      for (const [i, frame] of (await Promise.all(early)).entries()) expect(frame.payload).to.deep.equal(pattern(8, i));
      for (const [i, tag] of tags.entries()) send(a, 1, { ...tag, step: 100 }, pattern(8, i));
      for (const [i, tag] of [...tags.entries()].reverse()) {
        expect((await b.receive(R0, key({ ...tag, step: 100 }), WAIT)).payload).to.deep.equal(pattern(8, i));
      }
    });

    it('keeps the header and joins the parts of a payload, aligned for float32', async () => {
      const [a, b] = await start(2);
      const odd = pattern(1001, 5).subarray(1);
      const header = {
        ...key(),
        source: R0,
        destination: R1,
        numRows: 7,
        hidden: 8,
        numTopk: 9,
        dtype: 'bf16',
        flags: 1,
      } as const;
      a.send(R1, { ...header, payloadBytes: 1000 }, [odd.subarray(0, 3), odd.subarray(3, 4), odd.subarray(4)]);
      const frame = await b.receive(R0, key(), WAIT);
      expect(frame.header).to.deep.equal({ ...header, payloadBytes: 1000 });
      expect(Buffer.from(frame.payload).equals(odd)).to.equal(true);
      expect(frame.payload.byteOffset % 4).to.equal(0);
    });

    it('discards and counts a duplicate, queued or already taken', async () => {
      const [a, b] = await start(2);
      send(a, 1, {}, pattern(4, 1));
      send(a, 1, {}, pattern(4, 2));
      expect((await b.receive(R0, key(), WAIT)).payload).to.deep.equal(pattern(4, 1));
      send(a, 1, {}, pattern(4, 3));
      send(a, 1, { step: 2 });
      await b.receive(R0, key({ step: 2 }), WAIT);
      expect(b.stats().duplicates).to.equal(2);
      await rejection(b.receive(R0, key(), WAIT), 'INVALID_ARGUMENT');
    });

    it('discards and counts frames of an old epoch, queued or late', async () => {
      const [a, b] = await start(2);
      send(a, 1, { step: 1 });
      send(a, 1, { step: 2 });
      await b.receive(R0, key({ step: 2 }), WAIT);
      const waiting = rejection(b.receive(R0, key({ step: 3 }), WAIT), 'ABORTED');
      b.advanceEpoch(1);
      await waiting;
      send(a, 1, { step: 4 });
      send(a, 1, { step: 4, epoch: 1 });
      await b.receive(R0, key({ step: 4, epoch: 1 }), WAIT);
      expect(b.stats().stale).to.equal(2);
      await rejection(b.receive(R0, key({ step: 5 }), WAIT), 'ABORTED');
    });

    it('refuses to send a frame above the limit and sends one at the limit', async () => {
      const [a, b] = await start(2, { maxFrameBytes: 1000 });
      const error = thrown(() => send(a, 1, {}, pattern(961, 0)), 'LIMIT', { rank: R1, layer: 2, phase: 'dispatch' });
      expect(error.message).to.contain('1001').and.contain('1000');
      send(a, 1, {}, pattern(960, 0));
      expect((await b.receive(R0, key(), WAIT)).payload.byteLength).to.equal(960);
    });

    if (overrun === 'cut') {
      it('cuts off a peer that runs further ahead than the bound, and says PROTOCOL', async () => {
        const [a, b] = await start(2, { maxFrameBytes: 1000, microBatches: 2 });
        const waiting = b.receive(R0, key({ step: 99 }), WAIT);
        for (let step = 0; step < 5; step++) send(a, 1, { step }, pattern(960, step));
        const error = await rejection(waiting, 'PROTOCOL', { rank: R0, layer: 2, phase: 'dispatch' });
        expect(error.message).to.contain('5000').and.contain('4000');
        await rejection(a.receive(R1, key(), WAIT), 'PEER_LOST', { rank: R1 });
        expect((await b.receive(R0, key({ step: 3 }), WAIT)).payload).to.deep.equal(pattern(960, 3));
      });
    } else {
      it('holds frames beyond the bound until others are taken, and says so beyond twice the bound', async () => {
        const [a, b] = await start(2, { maxFrameBytes: 1000, microBatches: 2 });
        for (let step = 0; step < 8; step++) send(a, 1, { step }, pattern(960, step));
        if (overrun === 'held') {
          const error = thrown(() => send(a, 1, { step: 8 }, pattern(960, 8)), 'LIMIT', { rank: R1, layer: 2 });
          expect(error.message).to.contain('5000').and.contain('4000');
        } else {
          send(a, 1, { step: 8 }, pattern(960, 8));
          const why = (await a.closed) as { why: string };
          expect(why).to.include({ kind: 'lost', rank: R1 });
          expect(why.why).to.contain('5000').and.contain('4000');
          thrown(() => send(a, 1, { step: 9 }), 'PEER_LOST', { rank: R1 });
        }
        for (let step = 0; step < 8; step++) {
          expect((await b.receive(R0, key({ step }), WAIT)).payload).to.deep.equal(pattern(960, step));
        }
        if (overrun === 'lost') return;
        send(a, 1, { step: 9 }, pattern(960, 9));
        expect((await b.receive(R0, key({ step: 9 }), WAIT)).payload).to.deep.equal(pattern(960, 9));
      });

      it('gives credit back for duplicates and stale frames too', async () => {
        const [a, b] = await start(2, { maxFrameBytes: 1000, microBatches: 4 });
        b.advanceEpoch(1);
        for (let round = 0; round < 30; round++) {
          send(a, 1, { step: round }, pattern(960, 0));
          for (let copy = 0; copy < 2; copy++) send(a, 1, { step: round, epoch: 1 }, pattern(960, round));
          const { payload } = await b.receive(R0, key({ step: round, epoch: 1 }), WAIT);
          expect(payload).to.deep.equal(pattern(960, round));
        }
        expect(b.stats()).to.deep.include({ stale: 30 });
      });
    }

    it('refuses impossible arguments', async () => {
      const [a] = await start(2);
      thrown(() => send(a, 1, { source: R1 }), 'INVALID_ARGUMENT');
      thrown(() => send(a, 1, { payloadBytes: 5 }), 'INVALID_ARGUMENT');
      thrown(() => send(a, 0, {}), 'INVALID_ARGUMENT');
      thrown(() => send(a, 2, {}), 'INVALID_ARGUMENT');
      for (const timeoutMs of [0, -1, NaN, Infinity]) {
        await rejection(a.receive(R1, key(), { timeoutMs }), 'INVALID_ARGUMENT');
      }
      await rejection(a.receive(R0, key(), WAIT), 'INVALID_ARGUMENT');
    });

    it('tells who waits TIMEOUT with rank, layer, phase and time, and still takes the frame later', async () => {
      const [a, b] = await start(2);
      const where = { rank: R0, layer: 2, phase: 'dispatch', waitedMs: 50 };
      const error = await rejection(b.receive(R0, key(), { timeoutMs: 50 }), 'TIMEOUT', where);
      expect(error.message).to.contain('rank 0').and.contain('layer 2').and.contain('step 1').and.contain('50 ms');
      send(a, 1, {}, pattern(3, 3));
      expect((await b.receive(R0, key(), WAIT)).payload).to.deep.equal(pattern(3, 3));
    });

    it('ends a wait by its abort signal, before or during', async () => {
      const [, b] = await start(2);
      const abort = new AbortController();
      const during = rejection(b.receive(R0, key(), { ...WAIT, signal: abort.signal }), 'ABORTED', { rank: R0 });
      abort.abort(new Error('enough'));
      expect((await during).cause).to.have.property('message', 'enough');
      await rejection(b.receive(R0, key(), { ...WAIT, signal: abort.signal }), 'ABORTED', { rank: R0 });
    });

    it('names the lost rank to all who wait for it, and keeps the links between the others', async () => {
      const [a, b, c] = await start(3);
      send(c, 0, { step: 7 }, pattern(10, 7));
      const where = { rank: R2, layer: 2, phase: 'dispatch' };
      const waiting = [rejection(a.receive(R2, key(), WAIT), 'PEER_LOST', where)];
      waiting.push(
        rejection(b.receive(R2, key({ phase: 'combine' }), WAIT), 'PEER_LOST', { ...where, phase: 'combine' }),
      );
      await c.close();
      await Promise.all(waiting);
      expect((await a.receive(R2, key({ step: 7 }), WAIT)).payload).to.deep.equal(pattern(10, 7));
      await rejection(a.receive(R2, key({ step: 8 }), WAIT), 'PEER_LOST', where);
      thrown(() => send(a, 2, {}), 'PEER_LOST', where);
      expect(await a.closed).to.include({ kind: 'lost', rank: R2 });
      send(a, 1, {}, pattern(5, 5));
      expect((await b.receive(R0, key(), WAIT)).payload).to.deep.equal(pattern(5, 5));
    });

    it('a peer that takes nothing holds up nobody else: they exchange on, and it finds all in the end', async () => {
      const [a, b, c] = await start(3, { maxFrameBytes: 1000, microBatches: 2 });
      const numHeld = overrun === 'cut' ? 4 : 8; // within the bound, or as far beyond it as senders hold
      for (let step = 0; step < numHeld; step++) {
        for (const from of [a, b]) send(from, 2, { step }, pattern(960, step + from.rank));
      }
      for (let step = 0; step < 100; step++) {
        send(a, 1, { step }, pattern(960, step));
        send(b, 0, { step }, pattern(960, step + 1));
        expect((await b.receive(R0, key({ step }), WAIT)).payload).to.deep.equal(pattern(960, step));
        expect((await a.receive(R1, key({ step }), WAIT)).payload).to.deep.equal(pattern(960, step + 1));
      }
      for (let step = 0; step < numHeld; step++) {
        for (const from of [a, b]) {
          const { payload } = await c.receive(from.rank, key({ step }), WAIT);
          expect(payload).to.deep.equal(pattern(960, step + from.rank));
        }
      }
    });

    it('carries large frames both ways at once', async () => {
      const numBytes = 12_000_000;
      const [a, b] = await start(2);
      const [fromA, fromB] = [pattern(numBytes, 1), pattern(numBytes, 2)];
      send(a, 1, {}, fromA);
      send(b, 0, {}, fromB);
      const [atB, atA] = await Promise.all([b.receive(R0, key(), WAIT), a.receive(R1, key(), WAIT)]);
      expect(Buffer.compare(atB.payload, fromA)).to.equal(0);
      expect(Buffer.compare(atA.payload, fromB)).to.equal(0);
    });

    it('never uses given memory again before its bytes arrived, and uses it afterwards', async () => {
      const [a, b] = await start(2);
      const numRounds = 12;
      const sizes = [0, 900, 5000, 70_000, 1_000_000];
      for (let round = 0; round < numRounds; round++) {
        for (const from of [a, b]) {
          for (const [layer, size] of sizes.entries()) {
            const payload = from.memory.allocate(size);
            payload.set(pattern(size, 10 * round + layer + from.rank));
            const route = { ...key({ step: round, layer }), source: from.rank, destination: asRank(1 - from.rank) };
            const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0 } as const;
            from.give(route.destination, { ...route, ...rows, payloadBytes: size }, payload);
            if (size > 0) from.memory.release(from.memory.allocate(size).fill(255)); // whoever gets it next
          }
        }
        for (const to of [a, b]) {
          for (const [layer, size] of sizes.entries()) {
            const from = asRank(1 - to.rank);
            const { payload, release } = await to.receive(from, key({ step: round, layer }), WAIT);
            expect(Buffer.compare(payload, pattern(size, 10 * round + layer + from)), `${size} bytes`).to.equal(0);
            release?.();
            if (size < 5000) continue; // not worth keeping
            const next = to.memory.allocate(size);
            expect(next.buffer).to.equal(payload.buffer);
            to.memory.release(next);
          }
        }
      }
    });

    it('counts frames and bytes, headers included, on both ends', async () => {
      const [a, b] = await start(2);
      send(a, 1, { step: 1 }, pattern(100, 0));
      send(a, 1, { step: 2 });
      await b.receive(R0, key({ step: 2 }), WAIT);
      const bytes = 100 + 2 * FRAME_HEADER_BYTES;
      expect(a.stats()).to.deep.include({ framesSent: [0, 2], bytesSent: [0, bytes], framesReceived: [0, 0] });
      expect(b.stats()).to.deep.include({ framesReceived: [2, 0], bytesReceived: [bytes, 0], bytesSent: [0, 0] });
    });

    it('closes once: who waits and whoever comes later is told CLOSED', async () => {
      const [a] = await start(2);
      const waiting = rejection(a.receive(R1, key(), WAIT), 'CLOSED');
      await Promise.all([a.close(), a.close()]);
      await waiting;
      await rejection(a.receive(R1, key(), WAIT), 'CLOSED');
      thrown(() => send(a, 1, {}), 'CLOSED');
      expect(await a.closed).to.deep.equal({ kind: 'closed' });
      a.advanceEpoch(3);
    });
  });
}
