import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import type { TlsOptions } from '../../../comm/base/tls.js';
import { FRAME_HEADER_BYTES } from '../../../comm/index.js';
import { encodeKvFrame } from '../../../comm/kv/kv_frames.js';
import type { KvDoor, KvReader, KvStream, KvWish } from '../../../comm/kv/kv_link.js';
import { WsKvNetwork } from '../../../comm/kv/ws_kv.js';
import { dial } from '../../../comm/ws/door/dial.js';
import { WsServer } from '../../../comm/ws/door/ws_server.js';
import { describeKvNetwork } from '../../contracts/kv_network_contract.js';
import { createAuthority } from '../../kit/comm/certificates.js';
import { MemoryKvSpace } from '../../kit/comm/memory_kv.js';
import { rejection } from '../../kit/errors.js';

const networkOf = (tls?: TlsOptions, timeoutMs = 10_000): WsKvNetwork =>
  new WsKvNetwork({ listen: { host: '127.0.0.1', port: 0 }, advertise: '127.0.0.1', tls, timeoutMs });

describeKvNetwork('over WebSockets', () => () => networkOf());
describeKvNetwork('over TLS', () => {
  const authority = createAuthority('two jobs');
  return () => networkOf(authority.issue());
});
describeKvNetwork('in memory', () => {
  const space = new MemoryKvSpace();
  return () => space.node();
});

const LEASE = { id: 'the lease', token: 'the token' };
const WISH: KvWish = { from: 0, to: 4, wire: 'f32', dtype: 'f32', numLayers: 2, rowBytes: 12 };
const frameOf = (layer: number, token: number, numRows: number): Uint8Array =>
  encodeKvFrame({ layer, token, rows: new Uint8Array(numRows * 12) }, WISH);
const { signal } = new AbortController();

describe('a target over WebSockets', () => {
  let server: WsServer;
  let target: KvStream;
  let source: WebSocket;
  let socket: Socket;

  const openTo = async (timeoutMs = 10_000): Promise<void> => {
    server = await WsServer.listen({ host: '127.0.0.1', port: 0, path: '/expertwire/kv', maxPayload: 1000 });
    const coming = new Promise<void>((resolve) =>
      server.onPeer({
        ...{ purpose: 'kv', secret: LEASE.token, admit: () => undefined },
        onPeer: (ws, own) => {
          [source, socket] = [ws, own];
          ws.once('message', () => resolve());
        },
      }),
    );
    const place = { host: '127.0.0.1', port: server.port };
    target = await networkOf(undefined, timeoutMs).dial({ place, lease: LEASE, wish: WISH, signal });
    await coming;
  };
  afterEach(async () => {
    target.close();
    await server.close();
  });

  const refused: [string, () => void][] = [
    ['a frame that is cut', () => source.send(frameOf(0, 0, 2).subarray(0, 50))],
    ['half a header', () => source.send(frameOf(0, 0, 2).subarray(0, FRAME_HEADER_BYTES / 2))],
    ['a frame of another layer', () => source.send(frameOf(9, 0, 2))],
    ['tokens that nobody asked for', () => source.send(frameOf(0, 3, 2))],
    ['text that is no failure', () => source.send('{"type":"pull"}')],
    ['text that is no JSON', () => source.send('x'.repeat(100))],
    ['a failure without a code', () => source.send('{"type":"failed","error":{}}')],
  ];
  for (const [what, send] of refused) {
    it(`refuses ${what}`, async () => {
      await openTo();
      send();
      await rejection(target.next(), 'PROTOCOL');
    });
  }

  it('is not made to hold a frame that is larger than any of its wish', async () => {
    await openTo();
    source.send(new Uint8Array(8 * 1024 * 1024));
    await rejection(target.next(), 'PEER_LOST');
  });

  it('hears that the source is gone, behind what it sent before', async () => {
    await openTo();
    source.send(frameOf(1, 0, 4), () => socket.resetAndDestroy());
    expect((await target.next())?.layer).to.equal(1);
    await rejection(target.next(), 'PEER_LOST');
  });

  it('gives a source up that gives no sign of life', async () => {
    await openTo(300);
    socket.pause(); // its pings aren't answered
    const error = await rejection(target.next(), 'PEER_LOST');
    expect(error.message).to.contain('300 ms');
  });

  it('waits for a source that lives and has nothing yet', async () => {
    await openTo(300);
    let numPings = 0;
    await new Promise<void>((resolve) => source.on('ping', () => ++numPings > 8 && resolve())); // longer than it waits for a silent one
    source.send(frameOf(0, 0, 4));
    expect((await target.next())?.token).to.equal(0);
  });
});

describe('a source over WebSockets', () => {
  let door: KvDoor;
  const readers: KvReader[] = [];

  beforeEach(async () => {
    readers.length = 0;
    door = await networkOf().open({
      tokenOf: (lease) => (lease === LEASE.id ? LEASE.token : null),
      onReader: (_, reader) => void readers.push(reader),
      onBlocksReader: () => undefined,
    });
  });
  afterEach(() => door.close());

  const connect = (): Promise<WebSocket> =>
    dial(
      {
        ...{ address: door.address, path: '/expertwire/kv', secret: LEASE.token, purpose: 'kv', signal },
        ...{ identity: { lease: LEASE.id }, maxPayload: 1000, timeoutMs: 10_000 },
      },
      (ws) => ws,
    );

  const wish = { ...WISH };
  const odd: [string, string | Uint8Array][] = [
    ['no JSON', 'pull!'],
    ['a wish in bytes', Buffer.from(JSON.stringify({ type: 'pull', wish }))],
    ['huge numbers', JSON.stringify({ type: 'pull', wish: { ...wish, to: 2 ** 32 } })],
    ['fractions', JSON.stringify({ type: 'pull', wish: { ...wish, from: 0.5 } })],
    ['nothing at all', JSON.stringify({ type: 'pull', wish: { ...wish, to: 0 } })],
    ['another wire', JSON.stringify({ type: 'pull', wish: { ...wish, wire: 'fp8' } })],
    ['int8 to be made', JSON.stringify({ type: 'pull', wish: { ...wish, wire: 'int8' } })],
    ['rounding of codes', JSON.stringify({ type: 'pull', wish: { ...wish, dtype: 'int8', wire: 'bf16' } })],
    ['rounding of a part of a value', JSON.stringify({ type: 'pull', wish: { ...wish, rowBytes: 10, wire: 'bf16' } })],
  ];
  for (const [what, message] of odd) {
    it(`turns away who asks for ${what}`, async () => {
      const ws = await connect();
      ws.send(message);
      const [said] = (await once(ws, 'message')) as [Buffer];
      await once(ws, 'close');
      expect(said.toString()).to.contain('PROTOCOL');
      expect(readers).to.deep.equal([]);
    });
  }

  it('turns away who says more than it hears of, and who asks twice', async () => {
    const ws = await connect();
    ws.send('x'.repeat(10_000));
    await once(ws, 'close');
    const other = await connect();
    for (let i = 0; i < 2; i++) other.send(JSON.stringify({ type: 'pull', wish }));
    await once(other, 'close');
    expect(readers).to.have.lengthOf(1);
    const { gone } = readers[0]!;
    if (!gone.aborted) await once(gone, 'abort');
  });

  it('lets nobody in who has no name, or one that is no lease’s', async () => {
    for (const identity of [null, {}, { lease: 7 }, { lease: 'x'.repeat(65) }, { lease: 'other' }]) {
      const address = { address: door.address, path: '/expertwire/kv', secret: LEASE.token, purpose: 'kv' } as const;
      const coming = dial({ ...address, identity, maxPayload: 1000, timeoutMs: 10_000 }, () => undefined);
      await rejection(coming, 'AUTH_FAILED');
    }
  });
});
