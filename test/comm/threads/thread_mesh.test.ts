import { expect } from 'chai';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  asRank,
  createThreadSeats,
  openThreadMesh,
  portsOf,
  type FrameKey,
  type Mesh,
  type ThreadSeat,
} from '../../../comm/index.js';
import { meshContract } from '../../contracts/mesh_contract.js';
import { rejection, thrown } from '../../kit/errors.js';
import { ringOf } from '../../../comm/threads/inbox.js';
import type { PartnerOrder } from '../../kit/comm/thread_partner.js';
import { swapFrames, swapKey, takeFrame } from '../../kit/comm/thread_swaps.js';

meshContract('a thread mesh', (size, limits) => Promise.resolve(createThreadSeats(size, limits).map(openThreadMesh)));

const [R0, R1] = [asRank(0), asRank(1)];
const WAIT = { timeoutMs: 15_000 };
const keyOf = (step: number): FrameKey => ({ phase: 'dispatch', step, layer: 0, microBatch: 0, epoch: 0 });

function send(from: Mesh, to: number, step: number, payload: Uint8Array): void {
  const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: payload.byteLength } as const;
  from.send(asRank(to), { ...keyOf(step), ...rows, source: from.rank, destination: asRank(to) }, [payload]);
}

const startPartner = (order: PartnerOrder): Worker =>
  new Worker(new URL('../../kit/comm/thread_partner.js', import.meta.url), {
    workerData: order,
    transferList: portsOf(order.seat),
  });

describe('a thread mesh', () => {
  it('carries frames of any size to a rank in a thread of its own and back, both ways at once', async () => {
    const sizes = [0, 1, 4, 1000, 65_537, 3_000_000, 7];
    const [seat0, seat1] = createThreadSeats(2, { maxFrameBytes: 4_000_000, microBatches: 2 }) as [
      ThreadSeat,
      ThreadSeat,
    ];
    const partner = startPartner({ seat: seat1, act: 'echo', numFrames: sizes.length });
    const ended = once(partner, 'exit');
    const mesh = openThreadMesh(seat0);
    const sent = sizes.map((size, step) => new Uint8Array(size).map((_, i) => i * 7 + (i >> 8) + step));
    for (const [step, payload] of sent.entries()) send(mesh, 1, step, payload);
    for (const [step, payload] of sent.entries()) {
      const frame = await mesh.receive(R1, keyOf(step), WAIT);
      expect(Buffer.compare(frame.payload, payload), `frame ${step}`).to.equal(0);
      expect([frame.payload.byteOffset % 8, frame.payload.buffer instanceof ArrayBuffer]).to.deep.equal([0, true]);
    }
    expect(await mesh.closed).to.deep.equal({ kind: 'lost', rank: 1, why: 'it closed its mesh' });
    await mesh.close();
    expect(await ended).to.deep.equal([0]);
  });

  it('admits nobody who comes later, and keeps whom it has: INVALID_ARGUMENT', async () => {
    const [a, b] = createThreadSeats(2).map(openThreadMesh) as [Mesh, Mesh];
    const address = { host: '127.0.0.1', port: 1, ticket: 't' };
    const error = await rejection(a.admit(R1, address, WAIT), 'INVALID_ARGUMENT');
    expect(error.message).to.contain('WebSockets');
    send(a, 1, 1, Uint8Array.of(1));
    await b.receive(a.rank, keyOf(1), WAIT);
    a.dismiss(R1, 'it is not wanted');
    await rejection(b.receive(a.rank, keyOf(2), WAIT), 'PEER_LOST', { rank: a.rank });
    await Promise.all([a.close(), b.close()]);
  });

  it('copies what is sent, so that a later change of the sender is not seen', async () => {
    const [a, b] = createThreadSeats(2).map(openThreadMesh) as [Mesh, Mesh];
    const payload = Uint8Array.of(1, 2, 3, 4);
    send(a, 1, 0, payload);
    payload.fill(9);
    expect([...(await b.receive(R0, keyOf(0), WAIT)).payload]).to.deep.equal([1, 2, 3, 4]);
    await Promise.all([a.close(), b.close()]);
  });

  for (const [act, how] of [
    ['exit', 'ends it'],
    ['throw', 'throws'],
    ['block', 'is terminated while it is blocked'],
  ] as const) {
    it(`a rank whose thread ${how} is lost to the others, whose links stay`, async () => {
      const [seat0, seat1, seat2] = createThreadSeats(3) as [ThreadSeat, ThreadSeat, ThreadSeat];
      const [a, c] = [openThreadMesh(seat0), openThreadMesh(seat2)];
      const partner = startPartner({ seat: seat1, act });
      partner.on('error', () => undefined);
      const where = { rank: R1, layer: 0, phase: 'dispatch' };
      const waiting = [a, c].map((mesh) => rejection(mesh.receive(R1, keyOf(0), WAIT), 'PEER_LOST', where));
      await once(partner, 'message').catch(() => undefined); // an error may overtake the message
      for (let step = 0; step < 100; step++) send(a, 1, step, new Uint8Array(10_000)); // never waits for a blocked one
      if (act === 'block') await partner.terminate();
      for (const error of await Promise.all(waiting)) expect(error.message).to.contain('its thread ended');
      send(a, 2, 0, Uint8Array.of(5));
      expect([...(await c.receive(R0, keyOf(0), WAIT)).payload]).to.deep.equal([5]);
      await Promise.all([a.close(), c.close()]);
    });
  }

  it('a rank whose thread ends before it opened its seat is lost too', async () => {
    const [seat0, seat1] = createThreadSeats(2) as [ThreadSeat, ThreadSeat];
    const mesh = openThreadMesh(seat0);
    const code = 'require("node:worker_threads")';
    new Worker(code, { eval: true, workerData: seat1, transferList: portsOf(seat1) });
    await rejection(mesh.receive(R1, keyOf(0), WAIT), 'PEER_LOST', { rank: R1 });
    await mesh.close();
  });

  it('what was sent before the other rank opened its seat, or before the own end, arrives', async () => {
    const [seat0, seat1, seat2] = createThreadSeats(3) as [ThreadSeat, ThreadSeat, ThreadSeat];
    const a = openThreadMesh(seat0);
    for (const to of [1, 2]) send(a, to, 0, new Uint8Array(2_000_000).fill(to));
    await a.close();
    for (const mesh of [seat1, seat2].map(openThreadMesh)) {
      const { payload } = await mesh.receive(R0, keyOf(0), WAIT);
      expect([payload.byteLength, payload.at(-1)]).to.deep.equal([2_000_000, mesh.rank]);
      expect((await rejection(mesh.receive(R0, keyOf(1), WAIT), 'PEER_LOST')).message).to.contain('closed its mesh');
      await mesh.close();
    }
  });

  it('what a rank sent before it died can be taken, through memory and port', async () => {
    const [seat0, seat1] = createThreadSeats(2) as [ThreadSeat, ThreadSeat];
    const mesh = openThreadMesh(seat0);
    startPartner({ seat: seat1, act: 'flood', numFrames: 60 });
    for (let step = 0; step < 60; step++) await takeFrame(mesh, 1, step);
    const { message } = await rejection(mesh.receive(R1, swapKey(60), WAIT), 'PEER_LOST', { rank: R1 });
    expect(message).to.contain('its thread ended');
    await mesh.close();
  });

  for (const [size, numSteps] of [
    [2, 3000],
    [16, 25],
  ] as const) {
    it(`${size} ranks swap ${numSteps} frames with each other, whatever pauses they make: none is lost or late for ever`, async () => {
      const [seat0, ...others] = createThreadSeats(size);
      const ends = others.map((seat) => once(startPartner({ seat, act: 'swap', numFrames: numSteps }), 'exit'));
      const mesh = openThreadMesh(seat0!);
      await swapFrames(mesh, numSteps);
      for (const [code] of await Promise.all(ends)) expect(code).to.equal(0);
      const { framesSent, framesReceived, duplicates, stale } = mesh.stats();
      const toAll = new Array<number>(size).fill(numSteps).fill(0, 0, 1);
      expect({ framesSent, framesReceived, duplicates, stale }).to.deep.equal({
        ...{ framesSent: toAll, framesReceived: toAll, duplicates: 0, stale: 0 },
      });
      await mesh.close();
    });
  }

  it('wakes a rank that sleeps once, and nobody else; more than a ring holds goes through the port', async () => {
    const meshes = createThreadSeats(3).map(openThreadMesh) as [Mesh, Mesh, Mesh];
    const [a, b, c] = meshes;
    send(a, 1, 0, new Uint8Array(100));
    expect(a.stats().writes).to.equal(0); // it opened in this turn and will look by itself
    await b.receive(R0, keyOf(0), WAIT);
    await turn();
    await turn();
    for (let step = 1; step <= 50; step++) send(a, 1, step, new Uint8Array(100));
    expect([a, b, c].map((mesh) => mesh.stats().writes)).to.deep.equal([1, 0, 0]);
    for (let step = 1; step <= 50; step++) await b.receive(R0, keyOf(step), WAIT);
    for (let step = 51; step <= 80; step++) send(a, 1, step, new Uint8Array(10_000).fill(step));
    a.flush();
    expect(a.stats().writes).to.be.within(2, 10);
    for (let step = 51; step <= 80; step++) {
      const { payload } = await b.receive(R0, keyOf(step), WAIT);
      expect(payload.every((byte) => byte === step)).to.equal(true);
    }
    await Promise.all(meshes.map((mesh) => mesh.close()));
  });

  it('hears of what comes while it falls asleep, from a rank that it has looked at already and from one that it hasn’t', async () => {
    const [a, b, c] = createThreadSeats(3).map(openThreadMesh) as [Mesh, Mesh, Mesh];
    const allocate = b.memory.allocate.bind(b.memory);
    for (const [first, second, step] of [
      [a, c, 0],
      [c, a, 10],
    ] as const) {
      const [one, two, three] = [first, second, second].map((mesh, i) => b.receive(mesh.rank, keyOf(step + i), WAIT));
      // Nobody rings for the first frame, since this turn isn't over. It is read when the turn ends and b falls asleep: just then the second one is sent.
      send(first, 1, step, new Uint8Array(10));
      b.memory.allocate = (numBytes) => {
        b.memory.allocate = allocate;
        send(second, 1, step + 1, new Uint8Array(10));
        return allocate(numBytes);
      };
      await Promise.all([one, two]);
      send(second, 1, step + 2, new Uint8Array(10));
      await three;
    }
    await Promise.all([a, b, c].map((mesh) => mesh.close()));
  });

  it('takes what was there when it looked: a rank that sends without end keeps nobody', async () => {
    const [a, b] = createThreadSeats(2).map(openThreadMesh) as [Mesh, Mesh];
    const allocate = b.memory.allocate.bind(b.memory);
    let numSent = 0;
    b.memory.allocate = (numBytes) => {
      if (numSent < 1000) send(a, 1, numSent++, new Uint8Array(10)); // one more with each frame that is read
      return allocate(numBytes);
    };
    send(a, 1, 1000, new Uint8Array(10));
    await b.receive(R0, keyOf(1000), WAIT);
    expect(numSent).to.be.lessThan(1000);
    for (let step = 0; step < 1000; step++) await b.receive(R0, keyOf(step), WAIT);
    await Promise.all([a.close(), b.close()]);
  });

  it('gives the event loop its turn though every frame is there at once', async () => {
    const [a, b] = createThreadSeats(2).map(openThreadMesh) as [Mesh, Mesh];
    const fired: number[] = [];
    setTimeout(() => fired.push(1), 1);
    for (let step = 0; fired.length === 0; step++) {
      send(a, 1, step, new Uint8Array(10));
      await b.receive(R0, keyOf(step), WAIT);
    }
    await Promise.all([a.close(), b.close()]);
  });

  it('loses a rank that writes what is no frame: PROTOCOL', async () => {
    const [seat0, seat1] = createThreadSeats(2) as [ThreadSeat, ThreadSeat];
    const mesh = openThreadMesh(seat0);
    const place = ringOf(seat0.inboxes[0]!, 1, 2);
    new Uint8Array(place.memory, place.byteOffset).fill(1);
    await rejection(mesh.receive(R1, keyOf(0), WAIT), 'PROTOCOL', { rank: R1 });
    portsOf(seat1).forEach((port) => port.close());
    await mesh.close();
  });

  it('loses a rank that posts what is no frame: PROTOCOL', async () => {
    for (const garbage of [new ArrayBuffer(10), { batch: new ArrayBuffer(100), numBytes: 100 }]) {
      const [seat0, seat1] = createThreadSeats(2) as [ThreadSeat, ThreadSeat];
      const mesh = openThreadMesh(seat0);
      seat1.ports[0]!.postMessage(garbage);
      await rejection(mesh.receive(R1, keyOf(0), WAIT), 'PROTOCOL', { rank: R1 });
      await mesh.close();
    }
  });

  it('refuses an impossible number of ranks or limit', () => {
    for (const size of [0, -1, 1.5, NaN]) thrown(() => createThreadSeats(size), 'INVALID_ARGUMENT');
    for (const maxFrameBytes of [0, 39, 1.5, 2 ** 31]) {
      thrown(() => createThreadSeats(2, { maxFrameBytes }), 'INVALID_ARGUMENT');
    }
    thrown(() => createThreadSeats(2, { microBatches: 0 }), 'INVALID_ARGUMENT');
  });
});
