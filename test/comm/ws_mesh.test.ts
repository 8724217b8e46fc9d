import { expect } from 'chai';
import type { WebSocket } from 'ws';
import { dial } from '../../comm/dial.js';
import {
  asRank,
  encodeHeader,
  listenForPeers,
  openWsMesh,
  type Address,
  type CommErrorCode,
  type FrameHeader,
  type Mesh,
} from '../../comm/index.js';
import { meshContract } from '../contracts/mesh_contract.js';
import { rejection } from '../kit/errors.js';
import { openWsMeshes } from '../kit/ws_meshes.js';

meshContract('a WebSocket mesh', (size, limits) => openWsMeshes(size, limits));

const ANY_PORT = { host: '127.0.0.1', port: 0 };
const COMMON = { size: 2, secret: 's', fingerprint: 'f'.repeat(64), jobId: 'j', timeoutMs: 5000, maxFrameBytes: 1000 };
const HEADER: FrameHeader = {
  ...{ phase: 'dispatch', source: asRank(1), destination: asRank(0), step: 0, layer: 0, microBatch: 0, epoch: 0 },
  ...{ numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 0 },
};

/** Rank 0 of two, waiting for rank 1. */
async function listenAsRank0(): Promise<{ listening: Promise<Mesh>; addresses: Address[] }> {
  const server = await listenForPeers(ANY_PORT, COMMON.maxFrameBytes);
  const addresses = [{ host: '127.0.0.1', port: server.port }];
  return { listening: openWsMesh({ ...COMMON, addresses, rank: asRank(0), server }), addresses };
}

describe('a WebSocket mesh', () => {
  for (const [what, override, code] of [
    ['another secret', { secret: 'guess' }, 'AUTH_FAILED'],
    ['another checkpoint', { fingerprint: 'e'.repeat(64) }, 'FINGERPRINT_MISMATCH'],
    ['the id of another job', { jobId: 'other' }, 'PROTOCOL'],
  ] as const) {
    it(`tells a rank with ${what} ${code} and lets the right one in`, async () => {
      const { listening, addresses } = await listenAsRank0();
      const wrong = await listenForPeers(ANY_PORT);
      const refused = openWsMesh({ ...COMMON, addresses, rank: asRank(1), server: wrong, ...override });
      await rejection(refused, code, { rank: asRank(0), phase: 'link' });
      const right = await listenForPeers(ANY_PORT);
      const mesh = await openWsMesh({ ...COMMON, addresses, rank: asRank(1), server: right });
      await Promise.all([mesh.close(), (await listening).close()]);
    });
  }

  for (const [what, act, code] of [
    ['cuts its connection', (ws) => ws.terminate(), 'PEER_LOST'],
    ['sends text', (ws) => ws.send('hello'), 'PROTOCOL'],
    ['sends an empty message', (ws) => ws.send(new Uint8Array(0)), 'PROTOCOL'],
    ['sends half a header', (ws) => ws.send(encodeHeader(HEADER).subarray(0, 20)), 'PROTOCOL'],
    ['speaks for another rank', (ws) => ws.send(encodeHeader({ ...HEADER, source: asRank(2) })), 'PROTOCOL'],
    ['announces more than it sends', (ws) => ws.send(encodeHeader({ ...HEADER, payloadBytes: 4 })), 'PROTOCOL'],
    ['speaks another version', (ws) => ws.send(encodeHeader(HEADER).with(4, 9)), 'VERSION_MISMATCH'],
    ['sends a frame above the limit', (ws) => ws.send(new Uint8Array(1001)), 'PEER_LOST'],
  ] as const satisfies readonly (readonly [string, (ws: WebSocket) => void, CommErrorCode])[]) {
    it(`loses a peer that ${what}: ${code}`, async () => {
      const { listening, addresses } = await listenAsRank0();
      const identity = { from: 1, to: 0, fingerprint: COMMON.fingerprint, jobId: COMMON.jobId };
      const target = { address: addresses[0]!, path: '/expertwire/data', purpose: 'data', identity } as const;
      const ws = await dial(
        { ...target, secret: COMMON.secret, maxPayload: 1000, timeoutMs: 5000 },
        (socket) => socket,
      );
      const mesh = await listening;
      const where = { rank: asRank(1), layer: 0, phase: 'dispatch' };
      const told = rejection(mesh.receive(asRank(1), HEADER, { timeoutMs: 5000 }), code, where);
      act(ws);
      await told;
      expect(await mesh.closed).to.include({ kind: 'lost', rank: 1 });
      await mesh.close();
    });
  }

  it('ends linking by its abort signal and closes what it opened', async () => {
    const abort = new AbortController();
    const server = await listenForPeers({ host: '127.0.0.1', port: 0 });
    const common = { size: 2, addresses: [], secret: 's', fingerprint: 'f', jobId: 'j' };
    const opening = openWsMesh({ ...common, rank: asRank(0), server, signal: abort.signal });
    abort.abort();
    await rejection(opening, 'ABORTED', { rank: asRank(1) });
    const again = await listenForPeers({ host: '127.0.0.1', port: server.port });
    await again.close();
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
