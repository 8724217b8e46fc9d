import { once } from 'node:events';
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import { dial } from '../../../comm/ws/door/dial.js';
import {
  asRank,
  encodeHeader,
  listenForPeers,
  openWsMesh,
  type Address,
  type CommErrorCode,
  type FrameHeader,
  type Mesh,
  type TlsOptions,
  type WsMeshOptions,
  type WsServer,
} from '../../../comm/index.js';
import { decodeLinkControl, encodeLinkControl } from '../../../comm/ws/links/link_control.js';
import { admissionContract } from '../../contracts/admission_contract.js';
import { meshContract } from '../../contracts/mesh_contract.js';
import { randomOf } from '../../kit/comm/all_to_all.js';
import { createAuthority } from '../../kit/comm/certificates.js';
import { rejection } from '../../kit/errors.js';
import { openWsMeshes, seatOf } from '../../kit/comm/ws_meshes.js';

meshContract('a WebSocket mesh', (size, limits) => openWsMeshes(size, limits), 'held');
admissionContract(
  'a WebSocket mesh',
  (size, limits) => async (rank) => {
    const server = await listenForPeers(ANY_PORT);
    const mesh = await openWsMesh({ ...seatOf(rank, size), ...limits, server });
    return { mesh, address: { host: HOST, port: server.port } };
  },
  25,
);

const HOST = '127.0.0.1';
const ANY_PORT = { host: HOST, port: 0 };
const COMMON = { size: 2, secret: 's', fingerprint: 'f'.repeat(64), jobId: 'j', timeoutMs: 5000, maxFrameBytes: 1000 };
const WAIT = { timeoutMs: 5000 };
const [R0, R1] = [asRank(0), asRank(1)];
const HEADER: FrameHeader = {
  ...{ phase: 'dispatch', source: R1, destination: R0, step: 0, layer: 0, microBatch: 0, epoch: 0 },
  ...{ numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 0 },
};

/** Rank 0 of two, which waits for rank 1 at the address that `listenAt` gives it. */
async function openRank0(options: Partial<WsMeshOptions> = {}): Promise<{
  readonly opening: Promise<Mesh>;
  readonly addresses: readonly Address[];
  /** The data port of rank 1. */
  readonly server1: WsServer;
}> {
  const [server, server1] = [await listenForPeers(ANY_PORT), await listenForPeers(ANY_PORT)];
  const addresses = [server, server1].map(({ port }) => ({ host: HOST, port }));
  return { opening: openWsMesh({ ...COMMON, addresses, rank: R0, server, ...options }), addresses, server1 };
}

/** Rank 0 of two and a rank 1 that does as the test says: sends what it likes to `toRank0`, sees what comes on `fromRank0`. */
async function openWithImpostor(options: Partial<WsMeshOptions> = {}): Promise<{
  readonly mesh: Mesh;
  readonly toRank0: WebSocket;
  readonly fromRank0: WebSocket;
}> {
  const { opening, addresses, server1 } = await openRank0(options);
  const accepted = new Promise<WebSocket>((resolve) => {
    server1.onPeer({ secret: COMMON.secret, purpose: 'data', admit: () => undefined, onPeer: (ws) => resolve(ws) });
  });
  const identity = { from: 1, to: 0, fingerprint: COMMON.fingerprint, jobId: COMMON.jobId, ticket: '' };
  const target = { address: addresses[0]!, path: '/expertwire/data', purpose: 'data', identity } as const;
  const limits = { secret: COMMON.secret, maxPayload: 100_000_000, timeoutMs: 5000 };
  const fromRank0 = await dial({ ...target, ...limits }, (ws) => ws);
  const { maxFrameBytes = COMMON.maxFrameBytes, microBatches = 1 } = options;
  const window = { numBytes: 2 * microBatches * maxFrameBytes, numFrames: 4096 };
  fromRank0.send(encodeLinkControl({ kind: 'ready', ...window }));
  const [toRank0, mesh] = await Promise.all([accepted, opening]);
  closers.push(() => server1.close());
  return { mesh, toRank0, fromRank0 };
}

/** A window of 2000 bytes takes two frames of 1000, not three. */
function overrun(ws: WebSocket): void {
  for (let step = 1; step < 4; step++) {
    ws.send(Buffer.concat([encodeHeader({ ...HEADER, step, payloadBytes: 960 }), new Uint8Array(960)]));
  }
}

const READY = { kind: 'ready', numFrames: 4096, numBytes: 2000 } as const;
const closers: (() => Promise<void>)[] = [];

describe('a WebSocket mesh', () => {
  afterEach(async () => {
    await Promise.all(closers.splice(0).map((close) => close()));
  });

  for (const [what, override, code] of [
    ['another secret', { secret: 'guess' }, 'AUTH_FAILED'],
    ['another checkpoint', { fingerprint: 'e'.repeat(64) }, 'FINGERPRINT_MISMATCH'],
    ['the id of another job', { jobId: 'other' }, 'PROTOCOL'],
  ] as const) {
    it(`tells a rank with ${what} ${code} and lets the right one in`, async () => {
      const { opening, addresses, server1 } = await openRank0();
      const wrong = await listenForPeers(ANY_PORT);
      const refused = openWsMesh({ ...COMMON, addresses, rank: R1, server: wrong, ...override });
      await rejection(refused, code, { rank: R0, phase: 'link' });
      const mesh = await openWsMesh({ ...COMMON, addresses, rank: R1, server: server1 });
      await Promise.all([mesh.close(), (await opening).close()]);
    });
  }

  it('admits who has a certificate of the job’s authority, and nobody else: AUTH_FAILED', async () => {
    const [own, foreign] = [createAuthority('ours'), createAuthority('theirs')];
    const open = async (rank: number, tls: TlsOptions): Promise<{ mesh: Mesh; port: number }> => {
      const server = await listenForPeers(ANY_PORT, { tls });
      const mesh = await openWsMesh({ ...seatOf(rank, 2), server, tls });
      closers.push(() => mesh.close());
      return { mesh, port: server.port };
    };
    const [a, b, stranger] = await Promise.all([open(0, own.issue()), open(1, own.issue()), open(1, foreign.issue())]);
    const to = ({ port }: { readonly port: number }) => ({ host: HOST, port, ticket: 't' });
    await rejection(stranger.mesh.admit(R0, to(a), WAIT), 'AUTH_FAILED', { rank: R0, phase: 'link' });
    await Promise.all([a.mesh.admit(R1, to(b), WAIT), b.mesh.admit(R0, to(a), WAIT)]);
  });

  it('tells ranks with different limits PROTOCOL and both numbers', async () => {
    const opening = openWsMeshes(2, {}, (rank) => ({ maxFrameBytes: 1000 + rank }));
    const error = await rejection(opening, 'PROTOCOL', { phase: 'link' });
    expect(error.message).to.contain('2000').and.contain('2002').and.contain('maxFrameBytes');
  });

  for (const [what, act, code] of [
    ['cuts the connection that brings its frames', ({ toRank0 }) => toRank0.terminate(), 'PEER_LOST'],
    ['cuts the connection that takes frames', ({ fromRank0 }) => fromRank0.terminate(), 'PEER_LOST'],
    ['says goodbye', ({ toRank0 }) => toRank0.close(1000), 'PEER_LOST'],
    ['sends text', ({ toRank0 }) => toRank0.send('hello'), 'PROTOCOL'],
    ['sends text instead of credit', ({ fromRank0 }) => fromRank0.send('hello'), 'PROTOCOL'],
    ['sends an empty message', ({ toRank0 }) => toRank0.send(new Uint8Array(0)), 'PROTOCOL'],
    ['sends half a header', ({ toRank0 }) => toRank0.send(encodeHeader(HEADER).subarray(0, 20)), 'PROTOCOL'],
    [
      'speaks for another rank',
      ({ toRank0 }) => toRank0.send(encodeHeader({ ...HEADER, source: asRank(2) })),
      'PROTOCOL',
    ],
    [
      'announces more than it sends',
      ({ toRank0 }) => toRank0.send(encodeHeader({ ...HEADER, payloadBytes: 4 })),
      'PROTOCOL',
    ],
    ['speaks another version', ({ toRank0 }) => toRank0.send(encodeHeader(HEADER).with(4, 9)), 'VERSION_MISMATCH'],
    ['sends a frame above the limit', ({ toRank0 }) => toRank0.send(new Uint8Array(1001)), 'LIMIT'],
    ['sends frames beyond its credit', ({ toRank0 }) => overrun(toRank0), 'PROTOCOL'],
    [
      'returns credit that it never had',
      ({ fromRank0 }) => fromRank0.send(encodeLinkControl({ kind: 'credit', numFrames: 1, numBytes: 40 })),
      'PROTOCOL',
    ],
    ['is ready twice', ({ fromRank0 }) => fromRank0.send(encodeLinkControl(READY)), 'PROTOCOL'],
    ['sends credit of no known kind', ({ fromRank0 }) => fromRank0.send(new Uint8Array(16).fill(7)), 'PROTOCOL'],
  ] as const satisfies readonly (readonly [
    string,
    (peer: Record<'toRank0' | 'fromRank0', WebSocket>) => void,
    CommErrorCode,
  ])[]) {
    it(`loses a peer that ${what}: ${code}, with both connections`, async () => {
      const { mesh, ...impostor } = await openWithImpostor();
      const where = { rank: R1, layer: 3, phase: 'dispatch' };
      const told = rejection(mesh.receive(R1, { ...HEADER, layer: 3 }, WAIT), code, where);
      const ended = Object.values(impostor).map((ws) => once(ws, 'close'));
      act(impostor);
      await told;
      await Promise.all(ended);
      expect(await mesh.closed).to.include({ kind: 'lost', rank: 1 });
      await mesh.close();
    });
  }

  it('takes frames that ws sends in random fragments with pings between, and answers the pings', async () => {
    const { mesh, toRank0 } = await openWithImpostor({ maxFrameBytes: 100_000 });
    const random = randomOf(3);
    let numPongs = 0;
    toRank0.on('pong', () => numPongs++);
    for (let step = 0; step < 40; step++) {
      const payload = Uint8Array.from({ length: Math.floor(random() * 60_000) }, (_, i) => (i * step) & 0xff);
      const whole = Buffer.concat([encodeHeader({ ...HEADER, step, payloadBytes: payload.length }), payload]);
      for (let at = 0, end = 0; end < whole.length; at = end) {
        end = Math.min(whole.length, at + Math.floor(random() * 30_000));
        toRank0.send(whole.subarray(at, end), { binary: true, fin: end === whole.length });
        if (random() < 0.3) toRank0.ping('are you there?');
      }
      const frame = await mesh.receive(R1, { ...HEADER, step }, WAIT);
      expect(Buffer.compare(frame.payload, payload)).to.equal(0);
      expect(frame.payload.byteOffset % 4).to.equal(0);
    }
    expect(numPongs).to.be.above(0);
    await mesh.close();
  });

  it('sends frames that ws takes for one unmasked message each', async () => {
    const { mesh, fromRank0 } = await openWithImpostor({ maxFrameBytes: 1_000_000 });
    const header = { ...HEADER, source: R0, destination: R1 };
    for (const [step, numBytes] of [0, 1, 85, 86, 65_495, 65_496, 300_000].entries()) {
      const message = once(fromRank0, 'message') as Promise<[Buffer, boolean]>;
      const parts = [new Uint8Array(numBytes >> 1).fill(step), new Uint8Array(numBytes - (numBytes >> 1)).fill(7)];
      mesh.send(R1, { ...header, step, payloadBytes: numBytes }, parts);
      const [data, isBinary] = await message;
      expect([isBinary, data.byteLength]).to.deep.equal([true, 40 + numBytes]);
      expect(Buffer.compare(data.subarray(40), Buffer.concat(parts))).to.equal(0);
    }
    await mesh.close();
  });

  it('reads large payloads in place and copies small ones once', async () => {
    const [a, b] = (await openWsMeshes(2)) as [Mesh, Mesh];
    const header = { ...HEADER, source: R0, destination: R1 };
    for (let step = 0; step < 5; step++) {
      a.send(R1, { ...header, step, payloadBytes: 2_000_000 }, [new Uint8Array(2_000_000)]);
      await b.receive(R0, { ...header, step }, WAIT);
    }
    const { copies, copiedBytes } = b.stats();
    // Only the first may come in the buffer that is shared by small frames.
    expect(copies).to.be.at.most(1);
    expect(copiedBytes).to.be.below(300_000);
    for (let step = 5; step < 9; step++) {
      a.send(R1, { ...header, step, payloadBytes: 1000 }, [new Uint8Array(1000)]);
      await b.receive(R0, { ...header, step }, WAIT);
    }
    expect(b.stats().copies! - copies!).to.be.within(3, 4);
    await Promise.all([a.close(), b.close()]);
  });

  it('never lets credit or pings wait behind frames', async () => {
    const maxFrameBytes = 64 * 1024 * 1024;
    const { mesh, toRank0, fromRank0 } = await openWithImpostor({ maxFrameBytes });
    // Rank 1 reads nothing of what rank 0 sends: the frame stays in the way for good.
    fromRank0.pause();
    const numBytes = 32 * 1024 * 1024;
    mesh.send(R1, { ...HEADER, source: R0, destination: R1, payloadBytes: numBytes }, [new Uint8Array(numBytes)]);
    const credit = once(toRank0, 'message') as Promise<[Buffer]>;
    const pong = once(toRank0, 'pong');
    for (let step = 0; step < 1024; step++) {
      toRank0.send(encodeHeader({ ...HEADER, step }));
      await mesh.receive(R1, { ...HEADER, step }, WAIT);
    }
    toRank0.ping();
    // The first message is 'ready'.
    expect(decodeLinkControl((await credit)[0]).kind).to.equal('ready');
    const [message] = (await once(toRank0, 'message')) as [Buffer];
    expect(decodeLinkControl(message)).to.deep.equal({ kind: 'credit', numFrames: 1024, numBytes: 1024 * 40 });
    await pong;
    await mesh.close();
  });

  it('ends linking by its abort signal and closes what it opened', async () => {
    const abort = new AbortController();
    const server = await listenForPeers({ host: '127.0.0.1', port: 0 });
    const addresses = [ANY_PORT, { host: HOST, port: server.port }];
    const common = { size: 2, addresses, secret: 's', fingerprint: 'f', jobId: 'j' };
    const opening = openWsMesh({ ...common, rank: asRank(0), server, signal: abort.signal });
    abort.abort();
    await rejection(opening, 'ABORTED', { rank: R1 });
    const again = await listenForPeers({ host: '127.0.0.1', port: server.port });
    await again.close();
  });

  for (const host of ['bad host', '10.0.0.1 ', '', 'a/b']) {
    it(`says INVALID_ARGUMENT for the address '${host}', which a peer may have told, and lives on`, async () => {
      const server = await listenForPeers(ANY_PORT);
      const addresses = [
        { host: HOST, port: server.port },
        { host, port: 7 },
      ];
      await rejection(openWsMesh({ ...COMMON, addresses, rank: R0, server }), 'INVALID_ARGUMENT', { rank: R1 });
    });
  }

  it('refuses a port that does not exist: INVALID_ARGUMENT', async () => {
    for (const port of [-1, 65_536, 1.5, NaN]) {
      await rejection(listenForPeers({ host: '127.0.0.1', port }), 'INVALID_ARGUMENT');
    }
  });

  it('says UNREACHABLE naming rank and address when nobody listens', async () => {
    const gone = await listenForPeers({ host: '127.0.0.1', port: 0 });
    await gone.close();
    const server = await listenForPeers({ host: '127.0.0.1', port: 0 });
    const common = { size: 2, secret: 's', fingerprint: 'f', jobId: 'j', timeoutMs: 150 };
    const addresses = [
      { host: '127.0.0.1', port: gone.port },
      { host: '127.0.0.1', port: server.port },
    ];
    const error = await rejection(openWsMesh({ ...common, rank: asRank(1), server, addresses }), 'UNREACHABLE', {
      rank: asRank(0),
    });
    expect(error.message).to.contain(`127.0.0.1:${gone.port}`);
  });
});
