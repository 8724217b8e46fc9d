import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import {
  asRank,
  createCollectives,
  joinHead,
  listenForPeers,
  Rendezvous,
  type JoinedRank,
  type Mesh,
  type TlsOptions,
} from '../../../comm/index.js';
import { dial } from '../../../comm/ws/door/dial.js';
import { WsServer } from '../../../comm/ws/door/ws_server.js';
import { createAuthority } from '../../kit/comm/certificates.js';
import { rejection } from '../../kit/errors.js';
import { openWsMeshes } from '../../kit/comm/ws_meshes.js';

const HOST = '127.0.0.1';
const [OURS, THEIRS] = [createAuthority('our job'), createAuthority('another job')];
const KEY = { phase: 'dispatch', step: 1, layer: 0, microBatch: 0, epoch: 0 } as const;

describe('TLS with given certificates', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((owner) => owner.close()));
  });

  it('joins ranks to a head and to each other, each with a certificate of its own', async () => {
    const head = await Rendezvous.listen({ host: HOST, port: 0, secret: 's', size: 2, job: {}, tls: OURS.issue() });
    open.push(head);
    const ranks: JoinedRank[] = [];
    for (let i = 0; i < 2; i++) {
      ranks.push(await joinHead({ head: { host: HOST, port: head.port }, secret: 's', tls: OURS.issue() }));
    }
    open.push(...ranks);
    const meshes = await Promise.all(ranks.map((rank) => rank.ready('f'.repeat(64))));
    open.push(...meshes);
    await Promise.all(meshes.map((mesh) => createCollectives(mesh).barrier()));
  });

  it('carries large and small frames like plain TCP does', async () => {
    const [a, b] = (await openWsMeshes(2, {}, () => ({ tls: OURS.issue() }))) as [Mesh, Mesh];
    open.push(a, b);
    for (const [step, numBytes] of [0, 1, 1000, 70_000, 3_000_000].entries()) {
      const payload = Uint8Array.from({ length: numBytes }, (_, i) => (i * 31 + step) & 0xff);
      const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: numBytes } as const;
      a.send(asRank(1), { ...KEY, ...rows, step, source: asRank(0), destination: asRank(1) }, [payload]);
      const frame = await b.receive(asRank(0), { ...KEY, step }, { timeoutMs: 5000 });
      expect(Buffer.compare(frame.payload, payload)).to.equal(0);
      expect(frame.payload.byteOffset % 4).to.equal(0);
    }
  });

  async function tryToDial(
    server: TlsOptions | undefined,
    client: TlsOptions | undefined,
    timeoutMs: number,
  ): Promise<unknown> {
    const listening = await WsServer.listen({ host: HOST, port: 0, path: '/x', maxPayload: 5000, tls: server });
    open.push(listening);
    listening.onPeer({ secret: 's', purpose: 'data', admit: () => undefined, onPeer: () => undefined });
    const address = { host: HOST, port: listening.port };
    const target = { address, path: '/x', secret: 's', purpose: 'data', identity: {}, maxPayload: 5000 } as const;
    return dial({ ...target, timeoutMs, tls: client }, (ws) => ws.terminate());
  }

  for (const [what, server, client] of [
    ['trusts another authority', OURS.issue(), { ...OURS.issue(), ca: THEIRS.ca }],
    ['has a certificate of another authority', OURS.issue(), { ...THEIRS.issue(), ca: OURS.ca }],
    ['speaks TLS to a port without it', undefined, OURS.issue()],
  ] as const) {
    it(`tells a rank that ${what} AUTH_FAILED and what to do`, async () => {
      const error = await rejection(tryToDial(server, client, 5000), 'AUTH_FAILED');
      expect(error.message).to.contain('certificates of one ca');
    });
  }

  it('leaves a rank without TLS outside: UNREACHABLE', async () => {
    await rejection(tryToDial(OURS.issue(), undefined, 150), 'UNREACHABLE');
  });

  it('lets nobody in without a certificate, and reports it', async () => {
    const refused: string[] = [];
    const server = await listenForPeers(
      { host: HOST, port: 0 },
      { tls: OURS.issue(), onRefused: ({ code }) => refused.push(code) },
    );
    open.push(server);
    const ws = new WebSocket(`wss://${HOST}:${server.port}/expertwire/data`, { rejectUnauthorized: false });
    await once(ws, 'error');
    expect(refused).to.deep.equal(['AUTH_FAILED']);
  });

  it('ends a TLS handshake that is never finished', async () => {
    const refused: string[] = [];
    const limits = { path: '/x', maxPayload: 5000, strangerTimeoutMs: 50 };
    const server = await WsServer.listen({
      host: HOST,
      port: 0,
      tls: OURS.issue(),
      ...limits,
      onRefused: ({ code }) => refused.push(code),
    });
    open.push(server);
    const socket = connect(server.port, HOST, () => socket.write(Buffer.of(22, 3, 1)));
    socket.on('error', () => undefined).resume();
    await once(socket, 'close');
    expect(refused).to.deep.equal(['TIMEOUT']);
  });

  it('says INVALID_ARGUMENT to files that are no certificates', async () => {
    const broken = { ...OURS.issue(), cert: 'not a certificate' };
    await rejection(listenForPeers({ host: HOST, port: 0 }, { tls: broken }), 'INVALID_ARGUMENT');
    await rejection(tryToDial(OURS.issue(), broken, 5000), 'INVALID_ARGUMENT');
  });
});
