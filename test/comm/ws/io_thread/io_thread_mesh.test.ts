import { expect } from 'chai';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import {
  asRank,
  CommError,
  listenForPeers,
  listenInIoThread,
  openIoThreadMesh,
  openWsMesh,
  type FrameKey,
  type IoThreadServer,
  type Mesh,
} from '../../../../comm/index.js';
import { admissionContract } from '../../../contracts/admission_contract.js';
import { meshContract } from '../../../contracts/mesh_contract.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { seatOf } from '../../../kit/comm/ws_meshes.js';
import { openIoThreadMeshes } from '../../../kit/comm/io_thread_meshes.js';
import { freePort } from '../../../kit/processes/ports.js';
import { errorOf } from '../../../kit/rejects.js';
import type { WsPartnerOrder } from '../../../kit/comm/ws_partner.js';

meshContract('a WebSocket mesh in an I/O thread', openIoThreadMeshes, 'lost');
admissionContract(
  'a WebSocket mesh in an I/O thread',
  (size, limits) => async (rank) => {
    const server = await listenInIoThread(ANY_PORT);
    const mesh = await openIoThreadMesh({ ...seatOf(rank, size), ...limits, server });
    return { mesh, address: addressOf(server) };
  },
  6,
);

const ANY_PORT = { host: '127.0.0.1', port: 0 };
const COMMON = { size: 2, secret: 's', fingerprint: 'f'.repeat(64), jobId: 'j', timeoutMs: 15_000 };
const [R0, R1] = [asRank(0), asRank(1)];
const WAIT = { timeoutMs: 15_000 };
const keyOf = (step: number): FrameKey => ({ phase: 'dispatch', step, layer: 3, microBatch: 0, epoch: 0 });
const addressOf = ({ port }: { readonly port: number }) => ({ host: '127.0.0.1', port });

function send(from: Mesh, to: number, step: number, payload: Uint8Array): void {
  const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: payload.byteLength } as const;
  from.send(asRank(to), { ...keyOf(step), ...rows, source: from.rank, destination: asRank(to) }, [payload]);
}

/** Rank 0 with an I/O thread and rank 1 without. */
async function openPair(): Promise<{ a: Mesh; b: Mesh; server: IoThreadServer }> {
  const server = await listenInIoThread(ANY_PORT);
  const plain = await listenForPeers(ANY_PORT);
  const addresses = [addressOf(server), addressOf(plain)];
  const [a, b] = await Promise.all([
    openIoThreadMesh({ ...COMMON, addresses, rank: R0, server }),
    openWsMesh({ ...COMMON, addresses, rank: R1, server: plain }),
  ]);
  return { a, b, server };
}

describe('a WebSocket mesh in an I/O thread', () => {
  it('links to a rank without one', async () => {
    const { a, b } = await openPair();
    send(a, 1, 0, Uint8Array.of(1, 2, 3));
    send(b, 0, 0, new Uint8Array(300_000).fill(7));
    expect([...(await b.receive(R0, keyOf(0), WAIT)).payload]).to.deep.equal([1, 2, 3]);
    const { payload } = await a.receive(R1, keyOf(0), WAIT);
    expect([payload.byteLength, payload[299_999]]).to.deep.equal([300_000, 7]);
    await Promise.all([a.close(), b.close()]);
  });

  it('sends while the compute thread is blocked, and the answer is there when it looks', async () => {
    const server = await listenInIoThread(ANY_PORT);
    const counter = new SharedArrayBuffer(4);
    const order: WsPartnerOrder = { job: COMMON, rank0: addressOf(server), numFrames: 1, counter };
    const partner = new Worker(new URL('../../../kit/comm/ws_partner.js', import.meta.url), { workerData: order });
    const ended = once(partner, 'exit');
    const [port] = (await once(partner, 'message')) as [number];
    const addresses = [addressOf(server), addressOf({ port })];
    const mesh = await openIoThreadMesh({ ...COMMON, addresses, rank: R0, server });
    const payload = new Uint8Array(1_000_000).map((_, i) => i * 7);
    send(mesh, 1, 0, payload);
    // This thread's event loop stands still until rank 1 has the frame.
    expect(Atomics.wait(new Int32Array(counter), 0, 0, 15_000)).to.be.oneOf(['ok', 'not-equal']);
    expect(Buffer.compare((await mesh.receive(R1, keyOf(0), WAIT)).payload, payload)).to.equal(0);
    partner.postMessage('go');
    await Promise.all([mesh.close(), ended]);
  });

  it('tells when a frame arrived by the clock of the compute thread', async () => {
    const [a, b] = (await openIoThreadMeshes(2)) as [Mesh, Mesh];
    const beforeMs = performance.now();
    send(a, 1, 0, new Uint8Array(4));
    const { arrivedMs } = await b.receive(R0, keyOf(0), WAIT);
    // Its own clock began with the thread, hundreds of milliseconds after this one's.
    expect(arrivedMs).to.be.within(beforeMs - 100, performance.now() + 100);
    await Promise.all([a.close(), b.close()]);
  });

  it('mutes a peer as the mesh behind it does', async () => {
    const { a, b } = await openPair();
    const waiting = rejection(a.receive(R1, keyOf(0), WAIT), 'ABORTED', { rank: R1 });
    a.mute(R1, true);
    await waiting;
    a.mute(R1, false);
    send(b, 0, 1, Uint8Array.of(1));
    await a.receive(R1, keyOf(1), WAIT);
    await Promise.all([a.close(), b.close()]);
  });

  it('a thread that crashes is told to all who wait, and to whoever sends or waits later', async () => {
    const { a, b, server } = await openPair();
    const where = { layer: 3, phase: 'dispatch' };
    const waiting = rejection(a.receive(R1, keyOf(0), WAIT), 'CLOSED', where);
    await server.worker.terminate();
    expect((await waiting).message).to.contain('I/O thread ended');
    await rejection(a.receive(R1, keyOf(1), WAIT), 'CLOSED', where);
    expect(thrown(() => send(a, 1, 0, new Uint8Array(4)), 'PEER_LOST').message).to.contain('I/O thread ended');
    await rejection(b.receive(R0, keyOf(0), WAIT), 'PEER_LOST', { rank: R0 });
    await Promise.all([a.close(), b.close()]);
  });

  it('keeps code, rank and phase of a refusal, and leaves neither port nor thread', async () => {
    const plain = await listenForPeers(ANY_PORT);
    const server = await listenInIoThread(ANY_PORT);
    const addresses = [addressOf(plain), addressOf(server)];
    const abort = new AbortController();
    const listening = openWsMesh({ ...COMMON, addresses, rank: R0, server: plain, signal: abort.signal });
    const ended = errorOf(CommError, () => listening); // refused in turn, or ended below
    const refused = openIoThreadMesh({ ...COMMON, addresses, rank: R1, server, secret: 'guess' });
    const error = await rejection(refused, 'AUTH_FAILED', { rank: R0, phase: 'link' });
    expect(error.message.match(/AUTH_FAILED/g)).to.have.length(2); // its own code, and the cause's in its text
    await server.ended;
    abort.abort();
    await ended;
    await (await listenForPeers(addressOf(server))).close();
  });

  it('says what is wrong with an address', async () => {
    const taken = await listenForPeers(ANY_PORT);
    await rejection(listenInIoThread(addressOf(taken)), 'ADDRESS_IN_USE');
    await taken.close();
  });

  for (const when of ['before', 'while'] as const) {
    it(`ends linking by its abort signal, given ${when} it links, and closes what it opened`, async () => {
      const server = await listenInIoThread(ANY_PORT);
      const addresses = [addressOf(server), { host: '127.0.0.1', port: await freePort() }];
      const abort = new AbortController();
      if (when === 'before') abort.abort(new Error('enough'));
      const opening = openIoThreadMesh({ ...COMMON, addresses, rank: R0, server, signal: abort.signal });
      if (when === 'while') abort.abort(new Error('enough'));
      expect((await rejection(opening, 'ABORTED', { rank: R1 })).cause).to.have.property('message', 'enough');
      await server.ended;
    });
  }

  it('a server that no mesh took closes once and ends its thread', async () => {
    const server = await listenInIoThread(ANY_PORT);
    await Promise.all([server.close(), server.close()]);
    await server.ended;
    await (await listenForPeers(addressOf(server))).close();
  });
});
