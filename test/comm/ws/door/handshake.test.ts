import { connect, type AddressInfo, type Socket } from 'node:net';
import { get } from 'node:http';
import { once } from 'node:events';
import { expect } from 'chai';
import { WebSocket, WebSocketServer } from 'ws';
import { dial } from '../../../../comm/ws/door/dial.js';
import { CommError, PROTOCOL_VERSION } from '../../../../comm/index.js';
import { DialerHandshake, ListenerHandshake, type HandshakeStep } from '../../../../comm/ws/door/handshake.js';
import { shakeHands } from '../../../../comm/ws/door/handshake_socket.js';
import { WsServer, type Welcome } from '../../../../comm/ws/door/ws_server.js';
import { rejection } from '../../../kit/errors.js';

const OPTIONS = { secret: 'job secret', purpose: 'data' } as const;

/** Runs both sides against each other; `tamper` may change what travels. */
function run(
  listener: ListenerHandshake,
  dialer: DialerHandshake,
  tamper: (message: Uint8Array, index: number) => Uint8Array = (message) => message,
): { dialed: HandshakeStep; listened: HandshakeStep } {
  const proved = dialer.receive(tamper(listener.challenge(), 0));
  if (proved.reply === undefined) return { dialed: proved, listened: {} };
  const listened = listener.receive(tamper(proved.reply, 1));
  return { dialed: dialer.receive(tamper(listened.reply!, 2)), listened };
}

function codeOf({ outcome }: HandshakeStep): string | undefined {
  return outcome?.kind === 'refused' ? outcome.error.code : outcome?.kind;
}

const admitAll = (): void => undefined;

describe('a handshake', () => {
  it('is accepted on both sides with one secret, and proves the identity', () => {
    const { dialed, listened } = run(
      new ListenerHandshake(OPTIONS, admitAll),
      new DialerHandshake(OPTIONS, { from: 3 }),
    );
    expect(codeOf(dialed)).to.equal('accepted');
    expect(listened.outcome).to.deep.equal({ kind: 'accepted', identity: { from: 3 } });
  });

  it('with another secret or purpose is AUTH_FAILED on both sides', () => {
    for (const other of [
      { ...OPTIONS, secret: 'guess' },
      { ...OPTIONS, purpose: 'control' as const },
    ]) {
      const { dialed, listened } = run(new ListenerHandshake(OPTIONS, admitAll), new DialerHandshake(other, {}));
      expect([codeOf(dialed), codeOf(listened)]).to.deep.equal(['AUTH_FAILED', 'AUTH_FAILED']);
    }
  });

  it('may have a secret for each who comes, by what it says it is; nobody’s name is as good as a wrong secret', () => {
    const secrets = new Map([[3, 'of three']]);
    const secret = (identity: unknown): string | null => secrets.get((identity as { from: number }).from) ?? null;
    const codesOf = (from: number, own: string): (string | undefined)[] => {
      const listener = new ListenerHandshake({ ...OPTIONS, secret }, admitAll);
      const { dialed, listened } = run(listener, new DialerHandshake({ ...OPTIONS, secret: own }, { from }));
      return [codeOf(dialed), codeOf(listened)];
    };
    expect(codesOf(3, 'of three')).to.deep.equal(['accepted', 'accepted']);
    for (const [from, own] of [
      [3, 'of four'],
      [4, 'of three'],
      [4, ''],
    ] as const) {
      expect(codesOf(from, own)).to.deep.equal(['AUTH_FAILED', 'AUTH_FAILED']);
    }
  });

  it('with another protocol version names both versions', () => {
    const dialer = new DialerHandshake({ ...OPTIONS, protocol: 77 }, {});
    const { dialed } = run(new ListenerHandshake(OPTIONS, admitAll), dialer);
    expect(codeOf(dialed)).to.equal('VERSION_MISMATCH');
    const message = dialed.outcome?.kind === 'refused' ? dialed.outcome.error.message : '';
    expect(message).to.contain('77').and.contain(String(PROTOCOL_VERSION));
  });

  it('refuses a proof recorded from an earlier connection', () => {
    let recorded = new Uint8Array(0);
    const record = (message: Uint8Array, index: number): Uint8Array => {
      if (index === 1) recorded = Uint8Array.from(message);
      return message;
    };
    run(new ListenerHandshake(OPTIONS, admitAll), new DialerHandshake(OPTIONS, {}), record);
    const later = new ListenerHandshake(OPTIONS, () => expect.fail('admitted'));
    later.challenge();
    expect(codeOf(later.receive(recorded))).to.equal('AUTH_FAILED');
  });

  it('tells the dialer why the listener did not admit it', () => {
    const admit = (): void => {
      throw new CommError('FINGERPRINT_MISMATCH', 'rank 1 loaded another model');
    };
    const { dialed, listened } = run(new ListenerHandshake(OPTIONS, admit), new DialerHandshake(OPTIONS, {}));
    expect([codeOf(dialed), codeOf(listened)]).to.deep.equal(['FINGERPRINT_MISMATCH', 'FINGERPRINT_MISMATCH']);
    const message = dialed.outcome?.kind === 'refused' ? dialed.outcome.error.message : '';
    expect(message).to.equal('FINGERPRINT_MISMATCH: rank 1 loaded another model');
  });

  it('is never accepted when any byte of any message changed or is missing', () => {
    for (const index of [0, 1, 2]) {
      for (let at = 0; at < 200; at++) {
        for (const change of ['flip', 'cut'] as const) {
          const changed: number[] = [];
          const tamper = (message: Uint8Array, i: number): Uint8Array => {
            if (i !== index || at >= message.byteLength) return message;
            changed.push(i);
            const copy = Uint8Array.from(message);
            copy[at]! ^= 0x41;
            return change === 'flip' ? copy : copy.subarray(0, at);
          };
          const { dialed } = run(
            new ListenerHandshake(OPTIONS, admitAll),
            new DialerHandshake(OPTIONS, { from: 1 }),
            tamper,
          );
          if (changed.length > 0)
            expect(codeOf(dialed), `message ${index}, byte ${at}, ${change}`).to.not.equal('accepted');
        }
      }
    }
  });

  it('refuses a message above 4 KiB', () => {
    const listener = new ListenerHandshake(OPTIONS, admitAll);
    expect(codeOf(listener.receive(new Uint8Array(4097)))).to.equal('PROTOCOL');
  });
});

it('a handshake cuts a stranger off who sends more than it takes, before the message is whole', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 10_000_000 });
  await once(server, 'listening');
  const cut = new Promise<number>((resolve) => {
    server.on('connection', (ws, { socket }) => {
      shakeHands(ws, new ListenerHandshake(OPTIONS, admitAll), () => resolve(socket.bytesRead), { stranger: socket });
    });
  });
  const ws = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  ws.on('error', () => undefined);
  const ended = once(ws, 'close');
  ws.once('open', () => ws.send(new Uint8Array(5_000_000), { fin: false }));
  expect(await cut).to.be.below(1_000_000);
  await ended;
  server.close();
});

const LISTEN = { host: '127.0.0.1', port: 0, path: '/expertwire/data', maxPayload: 1000 };
const WELCOME: Welcome = { ...OPTIONS, admit: admitAll, onPeer: () => undefined };
const UPGRADE =
  'GET /expertwire/data HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

describe('a listening port', () => {
  let server: WsServer;
  beforeEach(async () => {
    server = await WsServer.listen(LISTEN);
  });
  afterEach(() => server.close());

  for (const [path, status] of [
    ['/expertwire/data', 426],
    ['/', 404],
  ] as const) {
    it(`answers a plain HTTP request for ${path} with ${status} and closes it`, async () => {
      const request = get({ host: '127.0.0.1', port: server.port, path, agent: false });
      const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
      expect([response.statusCode, response.headers.connection]).to.deep.equal([status, 'close']);
      response.resume();
      await once(response, 'close');
    });
  }

  it('refuses a WebSocket on a wrong path with 404', async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/elsewhere`);
    const [error] = (await once(ws, 'error')) as [Error];
    expect(error.message).to.contain('404');
  });

  for (const [what, speak] of [
    ['nothing at all', () => undefined],
    ['half an HTTP request', (socket: Socket) => socket.write('GET /expertwire/data HTTP/1.1\r\nHost: x\r\n')],
    ['an upgrade without a proof', (socket: Socket) => socket.write(UPGRADE)],
  ] as const) {
    for (const when of ['before', 'after'] as const) {
      it(`closes a connection that says ${what}, ${when} the owner asked for peers`, async () => {
        await server.close();
        const refused: CommError[] = [];
        const onRefused = (error: CommError): unknown => refused.push(error);
        server = await WsServer.listen({ ...LISTEN, strangerTimeoutMs: 50, onRefused });
        if (when === 'after') server.onPeer(WELCOME);
        const socket = connect(server.port, '127.0.0.1', () => speak(socket));
        socket.on('error', () => undefined).resume();
        await once(socket, 'close');
        expect(refused.map(({ code }) => code)).to.deep.equal(['TIMEOUT']);
      });
    }
  }

  it('counts a peer that proved itself no longer: it may stay silent, and others come in its place', async () => {
    await server.close();
    server = await WsServer.listen({ ...LISTEN, strangerTimeoutMs: 50, maxStrangers: 1 });
    let closeFirst: (() => void) | undefined;
    server.onPeer({ ...WELCOME, onPeer: (ws) => (closeFirst ??= () => ws.terminate()) });
    const address = { host: '127.0.0.1', port: server.port };
    const target = { ...OPTIONS, address, path: LISTEN.path, identity: {}, maxPayload: 1000, timeoutMs: 5000 };
    const peers = [];
    for (let i = 0; i < 3; i++) peers.push(await dial(target, (ws) => ws));
    const silent = connect(server.port, '127.0.0.1')
      .on('error', () => undefined)
      .resume();
    await once(silent, 'close');
    expect(peers.map((ws) => ws.readyState)).to.deep.equal([1, 1, 1]);
    closeFirst!();
    await once(peers[0]!, 'close');
    for (const ws of peers) ws.terminate();
  });

  it('holds so many unauthenticated connections and no more: the oldest that said nothing goes first', async () => {
    await server.close();
    const refused: CommError[] = [];
    const limits = { maxStrangers: 3, maxStrangersPerAddress: 3 };
    server = await WsServer.listen({ ...LISTEN, ...limits, onRefused: (error) => refused.push(error) });
    server.onPeer(WELCOME);
    const sockets: Socket[] = [];
    const open = async (): Promise<Socket> => {
      const socket = connect(server.port, '127.0.0.1').on('error', () => undefined);
      sockets.push(socket);
      await once(socket, 'connect');
      return socket;
    };
    const speaking = await open();
    speaking.write(UPGRADE);
    await once(speaking, 'data'); // it is shaking hands
    speaking.resume();
    await open();
    await open();
    await open(); // one too many
    await once(sockets[1]!.resume(), 'close');
    expect(sockets.map(({ destroyed }) => destroyed)).to.deep.equal([false, true, false, false]);
    expect(refused.map(({ code }) => code)).to.deep.equal(['LIMIT']);
    for (const socket of sockets) socket.destroy();
  });

  it('lets a peer with the secret in beside a flood of idle connections from the same address', async () => {
    server.onPeer({ ...WELCOME, onPeer: (ws) => ws });
    const idle: Socket[] = [];
    let isOver = false;
    const flood = async (): Promise<void> => {
      while (!isOver) {
        const socket = connect(server.port, '127.0.0.1').on('error', () => undefined);
        idle.push(socket);
        await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => undefined);
      }
    };
    const floods = Array.from({ length: 8 }, flood);
    while (idle.length < 1000) await new Promise((resolve) => setImmediate(resolve));
    const address = { host: '127.0.0.1', port: server.port };
    const target = { ...OPTIONS, address, path: LISTEN.path, identity: {}, maxPayload: 1000 };
    const peer = await dial({ ...target, timeoutMs: 8000 }, (ws) => ws);
    expect(peer.readyState).to.equal(1);
    isOver = true;
    await Promise.all(floods);
    peer.terminate();
    for (const socket of idle) socket.destroy();
  }).timeout(20_000);

  it('tells why it refused, each reason once, and tells the refused one', async () => {
    await server.close();
    const refused: string[] = [];
    server = await WsServer.listen({
      ...LISTEN,
      onRefused: ({ code }, { address }) => refused.push(`${address} ${code}`),
    });
    server.onPeer(WELCOME);
    const address = { host: '127.0.0.1', port: server.port };
    const target = { ...OPTIONS, address, path: LISTEN.path, identity: {}, maxPayload: 1000, timeoutMs: 5000 };
    for (let i = 0; i < 3; i++) {
      await rejection(
        dial({ ...target, secret: 'guess' }, () => expect.fail('let in')),
        'AUTH_FAILED',
      );
    }
    expect(refused).to.deep.equal(['127.0.0.1 AUTH_FAILED']);
  });

  it('survives bytes that are no HTTP', async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end('\x00\xff\x13 nonsense\r\n\r\n');
    socket.resume();
    await once(socket, 'close');
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/expertwire/data`);
    await once(ws, 'open');
    ws.terminate();
  });

  it('is free again after close, and close is idempotent', async () => {
    const { port } = server;
    await Promise.all([server.close(), server.close()]);
    server = await WsServer.listen({ host: '127.0.0.1', port, path: '/', maxPayload: 1000 });
  });
});
