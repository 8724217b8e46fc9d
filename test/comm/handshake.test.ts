import { connect } from 'node:net';
import { get } from 'node:http';
import { once } from 'node:events';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { CommError, PROTOCOL_VERSION } from '../../comm/index.js';
import { DialerHandshake, ListenerHandshake, type HandshakeStep } from '../../comm/handshake.js';
import { shakeHands, type HandshakeOutcome } from '../../comm/handshake_socket.js';
import { WsServer } from '../../comm/ws_server.js';

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
      for (let at = 0; at < 200; at += 1) {
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

describe('a listening port', () => {
  let server: WsServer;
  beforeEach(async () => {
    server = await WsServer.listen({ host: '127.0.0.1', port: 0, path: '/expertwire/data', maxPayload: 1000 });
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

  it('closes a socket that stays silent, with TIMEOUT', async () => {
    const outcome = new Promise<HandshakeOutcome>((resolve) => {
      server.onSocket((ws) => shakeHands(ws, new ListenerHandshake(OPTIONS, admitAll), resolve, { timeoutMs: 50 }));
    });
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/expertwire/data`);
    const closed = once(ws, 'close');
    expect(codeOf({ outcome: await outcome })).to.equal('TIMEOUT');
    await closed;
  });

  it('cuts a stranger off who sends more than a handshake takes, before the message is whole', async () => {
    const closed = new Promise<number>((resolve) => {
      server.onSocket((ws, socket) => {
        shakeHands(ws, new ListenerHandshake(OPTIONS, admitAll), () => resolve(socket.bytesRead), { stranger: socket });
      });
    });
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/expertwire/data`);
    ws.on('error', () => undefined);
    const ended = once(ws, 'close');
    ws.once('open', () => ws.send(new Uint8Array(900_000), { fin: false }));
    expect(await closed).to.be.below(500_000);
    await ended;
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
