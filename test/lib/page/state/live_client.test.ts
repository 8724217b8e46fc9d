import { expect } from 'chai';
import { LiveClient, pauseMs, type Connection, type LiveMessage } from '../../../../lib/page/state/live_client.js';

const SNAPSHOT = 'event: snapshot\ndata: {"seconds":[]}\n\n';

/** A stream of these frames, which stays open unless it `ends`. */
function streamOf(frames: readonly string[], ends: boolean, signal: AbortSignal | null | undefined): Response {
  const body = new ReadableStream({
    start: (controller) => {
      for (const frame of frames) controller.enqueue(new TextEncoder().encode(frame));
      if (ends) controller.close();
      else signal?.addEventListener('abort', () => controller.error(signal.reason));
    },
  });
  return new Response(body);
}

/** A client whose n-th request gets the n-th answer, and what it tells until a connection of kind `last` came so many times. */
async function followed(
  answers: readonly ((init: RequestInit) => Response)[],
  last: Connection['kind'],
  times = 1,
  key: string | null = null,
  silenceMs = 60_000,
): Promise<{ connections: Connection[]; messages: LiveMessage[]; sent: RequestInit[] }> {
  const [connections, messages, sent]: [Connection[], LiveMessage[], RequestInit[]] = [[], [], []];
  let client: LiveClient | undefined;
  await new Promise<void>((resolve) => {
    client = new LiveClient({
      fetch: (_path, init = {}) => {
        sent.push(init);
        const answer = answers[sent.length - 1];
        return answer === undefined ? Promise.reject(new TypeError('failed')) : Promise.resolve(answer(init));
      },
      key: () => key,
      onConnection: (connection) => {
        connections.push(connection);
        if (connections.filter(({ kind }) => kind === last).length === times) resolve();
      },
      onMessage: (message) => messages.push(message),
      firstPauseMs: 1,
      maxPauseMs: 2,
      silenceMs,
    });
    client.start();
  });
  client!.stop();
  return { connections, messages, sent };
}

describe('the page’s connection', () => {
  it('comes back after the stream ended, and takes the snapshot anew', async () => {
    const ending = ({ signal }: RequestInit): Response => streamOf([SNAPSHOT], true, signal);
    const staying = ({ signal }: RequestInit): Response => streamOf([SNAPSHOT], false, signal);
    const { connections } = await followed([ending, staying], 'live', 2);
    expect(connections.map(({ kind }) => kind)).to.deep.equal([
      ...['connecting', 'live', 'lost', 'connecting', 'live'],
      'paused',
    ]);
  });

  it('says that the server can’t be reached, and tries again', async () => {
    const { connections } = await followed([], 'lost', 3);
    expect(connections.find(({ kind }) => kind === 'lost')).to.include({ reason: 'the server can’t be reached' });
  });

  it('gives up a stream that is silent', async () => {
    const { connections } = await followed([({ signal }) => streamOf([SNAPSHOT], false, signal)], 'lost', 1, null, 50);
    expect(connections.at(-2)).to.include({ kind: 'lost', reason: 'the server went silent' });
  });

  it('waits for a key where the server wants one, and says when it was wrong', async () => {
    const body = JSON.stringify({ error: { message: 'give a key' } });
    const refused = (): Response => new Response(body, { status: 401 });
    const without = await followed([refused], 'needs_key');
    expect(without.connections.at(-2)).to.deep.equal({ kind: 'needs_key', isWrong: false });
    expect(without.sent).to.have.length(1);
    const wrong = await followed([refused], 'needs_key', 1, 'k');
    expect(wrong.connections.at(-2)).to.deep.equal({ kind: 'needs_key', isWrong: true });
    expect(wrong.sent[0]!.headers).to.deep.equal({ authorization: 'Bearer k' });
  });

  it('gives the server’s own words where it refuses', async () => {
    const body = JSON.stringify({ error: { message: '16 pages watch already' } });
    const { connections } = await followed([() => new Response(body, { status: 429 })], 'lost');
    expect(connections.at(-2)).to.include({ kind: 'lost', reason: '16 pages watch already' });
  });

  it('what isn’t the feed is told as such', async () => {
    const broken = ({ signal }: RequestInit): Response => streamOf(['event: snapshot\ndata: {\n\n'], false, signal);
    const { connections } = await followed([broken], 'lost');
    expect(connections.find(({ kind }) => kind === 'lost')).to.include({
      reason: 'the server sent what isn’t its feed',
    });
  });

  it('pauses grow twofold up to the longest, and differ by a fifth', () => {
    const limits = { firstPauseMs: 500, maxPauseMs: 15_000 };
    expect([0, 1, 2, 5, 50].map((n) => pauseMs(n, 0.5, limits))).to.deep.equal([500, 1000, 2000, 15_000, 15_000]);
    expect([0, 1].map((random) => Math.round(pauseMs(0, random, limits)))).to.deep.equal([400, 600]);
  });
});
