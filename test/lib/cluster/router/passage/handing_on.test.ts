import { expect } from 'chai';
import type { ServerResponse } from 'node:http';
import type { RequestStory } from '../../../../../lib/cluster/router/passage/request_story.js';
import { noteLine, type StreamNote } from '../../../../../lib/server/cluster/stream_notes.js';
import { OwnInstances, textsOf, type Fate, type Moment } from '../../../../kit/cluster/own_instances.js';
import { beginEvents, type Play } from '../../../../kit/cluster/played_instance.js';
import { OWN, withCluster, withRouter, type Routed } from '../../../../kit/cluster/routed.js';

const SEED = 77;
const NUM_TOKENS = 5;
const EXPECTED = textsOf(SEED, NUM_TOKENS);

/** Instances by their roles, and what happens while they answer one request. */
interface Scene {
  readonly roles: readonly ('mixed' | 'prefill' | 'decode')[];
  readonly isStream: boolean;
  /** The client has each token before the next moment; otherwise what an instance told last is lost with it. */
  readonly isHeard?: boolean;
  /** Comes at each moment. */
  readonly play?: (routed: Routed, moments: readonly string[]) => Promise<void> | void;
}

interface Outcome {
  readonly text: string;
  readonly moments: readonly string[];
  readonly story: RequestStory;
  readonly rollbacks: number;
}

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise(setImmediate);
};

/** Runs a scene; the instance of the n-th moment dies at it. */
async function run({ roles, isStream, isHeard, play }: Scene, fatal = -1): Promise<Outcome> {
  const moments: string[] = [];
  let routed: Routed | undefined;
  let numHeard = 0;
  const fate: Fate = async (instance: string, moment: Moment, numTokens: number) => {
    const number = moments.push(`${instance} ${moment}`) - 1;
    if (isHeard === true) await until(() => numHeard >= numTokens);
    if (number === fatal) return false;
    await play?.(routed!, moments);
    return true;
  };
  const instances = new OwnInstances(SEED, fate);
  try {
    for (const i of roles.keys()) await instances.start(String.fromCharCode(97 + i));
    const urls = instances.all.map(({ url }) => url);
    const tokens = (count: number): number => (numHeard += count);
    const options = { record: OWN, records: roles.map((role) => ({ role })), tokens };
    return await withRouter(
      urls,
      async (made) => {
        routed = made;
        const headers = { 'content-type': 'application/json', 'x-request-id': 'one' };
        const ask = { max_tokens: NUM_TOKENS };
        const answer = await (isStream ? made.stream(ask, { headers }) : made.whole(ask, { headers }));
        const text = isStream ? streamedText(await answer.text()) : wholeText(await answer.json());
        await until(() => made.stories.length > 0);
        await until(() => instances.all.every(({ numRunning, isDead }) => isDead || numRunning === 0));
        expect(
          made.router.views.map(({ numRequests, numActiveBlocks }) => numRequests + numActiveBlocks),
        ).to.deep.equal(roles.map(() => 0));
        const rollbacks = instances.all.reduce((sum, { numRollbacks }) => sum + numRollbacks, 0);
        return { text, moments, story: made.stories[0]!, rollbacks };
      },
      options,
    );
  } finally {
    await instances.close();
  }
}

interface Chunk {
  readonly choices: readonly { readonly text: string }[];
}

/** Of a stream that is whole, and has nothing but events of its own. */
function streamedText(stream: string): string {
  const events = stream.split('\n\n');
  expect(events.slice(-2)).to.deep.equal(['data: [DONE]', '']);
  return events
    .slice(0, -2)
    .map((event) => (JSON.parse(/^data: (\{.*\})$/.exec(event)![1]!) as Chunk).choices[0]!.text)
    .join('');
}

const wholeText = (answer: unknown): string => (answer as Chunk).choices[0]!.text;

/** The request moves to b when a has told two tokens, or begun where it tells none; a computes nothing meanwhile. */
const movesAt =
  (moment: string): Required<Scene>['play'] =>
  async ({ url }, moments) => {
    const isTime = moments.at(-1) === moment && moments.filter((each) => each === moment).length === 2;
    if (!isTime) return;
    const body = JSON.stringify({ request_id: 'one', to: 'b' });
    const headers = { 'content-type': 'application/json' };
    let isOver = false;
    void fetch(`${url}/migrate`, { method: 'POST', headers, body }).then(() => (isOver = true));
    await until(() => isOver || moments.some((each) => each === 'b pulled'));
  };

const SCENES: Readonly<Record<string, Scene>> = {
  'a request': { roles: ['mixed', 'mixed'], isStream: true },
  'a request whose tokens are heard': { roles: ['mixed', 'mixed'], isStream: true, isHeard: true },
  'a request for all of the answer': { roles: ['mixed', 'mixed'], isStream: false },
  'prefill and decode apart': { roles: ['prefill', 'decode', 'decode'], isStream: true },
  'prefill and decode apart, with tokens that are heard': {
    roles: ['prefill', 'decode', 'decode'],
    isStream: true,
    isHeard: true,
  },
  'prefill and decode apart, for all of the answer': { roles: ['prefill', 'decode', 'decode'], isStream: false },
  'a request that moves, whose tokens are heard': {
    roles: ['mixed', 'mixed', 'mixed'],
    isStream: true,
    isHeard: true,
    play: movesAt('a token'),
  },
  'a request that moves': { roles: ['mixed', 'mixed', 'mixed'], isStream: true, play: movesAt('a token') },
  'a request for all of the answer that moves': {
    roles: ['mixed', 'mixed', 'mixed'],
    isStream: false,
    play: movesAt('a token'),
  },
};

/** What an instance of ours writes, in one piece. */
const written = (...groups: readonly (readonly [StreamNote, string])[]): string =>
  groups.map(([note, text]) => `${noteLine(note)}${text === '' ? '' : `data: ${text}\n`}\n`).join('');

const BEGUN: StreamNote = { kind: 'begun', seed: 1, created: 2, isMovable: true };
const token = (n: number): readonly [StreamNote, string] => [{ kind: 'tokens', tokenIds: [n] }, `t${n}`];
const DONE: readonly [StreamNote, string] = [{ kind: 'done' }, '[DONE]'];

describe('a request that is handed on', () => {
  it('loses nothing that came with the word of its instance that it goes no further', async () => {
    const first: Play = (response) =>
      beginEvents(response).end(
        written([BEGUN, ''], token(0), token(1), [{ kind: 'failed', code: 'draining' }, '{"error":{}}']),
      );
    const second: Play = (response) => beginEvents(response).end(written([BEGUN, ''], token(2), DONE));
    await withCluster(
      [first, second],
      async ({ stream }, [, instance]) => {
        expect(await (await stream()).text()).to.equal('data: t0\n\ndata: t1\n\ndata: t2\n\ndata: [DONE]\n\n');
        const { resume } = JSON.parse(instance!.asked[0]!.text) as { resume: object };
        expect(resume).to.deep.equal({ token_ids: [0, 1], seed: 1, created: 2 });
      },
      { record: OWN },
    );
  });

  it('can’t move between the instance of its prompt and the one behind it', async () => {
    let tell: () => void = () => undefined;
    const prefill: Play = (response) => {
      beginEvents(response).write(written([BEGUN, '']));
      tell = () => response.end(written(token(0), DONE));
    };
    const records = [{ role: 'prefill' as const }, { role: 'decode' as const }];
    await withCluster(
      [prefill, prefill],
      async ({ url, stream }, [instance]) => {
        const headers = { 'content-type': 'application/json', 'x-request-id': 'one' };
        const answer = stream({}, { headers });
        await until(() => instance!.asked.length > 0);
        const body = JSON.stringify({ request_id: 'one', to: 'b' });
        const { status } = await fetch(`${url}/migrate`, { method: 'POST', headers, body });
        expect(status).to.equal(409);
        tell();
        expect(await (await answer).text()).to.equal('data: t0\n\ndata: [DONE]\n\n');
      },
      { record: OWN, records },
    );
  });

  it('has no answer behind a part of another: a long one that breaks off breaks off', async () => {
    const prefill: Play = (response) =>
      beginEvents(response).end(written([BEGUN, ''], token(0), [{ kind: 'failed', code: 'draining' }, '{}']));
    const long: Play = (response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .write('x'.repeat(1_200_000), () => response.destroy());
    const whole: Play = (response) => response.end('{"is":"whole"}');
    const records = (['prefill', 'decode', 'decode'] as const).map((role) => ({ role }));
    await withCluster(
      [prefill, long, whole],
      async ({ whole: ask }) => {
        const text = await (await ask()).text().catch(() => 'broken off');
        expect(text).to.equal('broken off');
      },
      { record: OWN, records },
    );
  });

  it('that took over where nobody takes it now goes on elsewhere', async () => {
    const taken: string[] = [];
    const source: Play = (response, { path }) => {
      if (path === '/v1/kv/leases') {
        response.end(JSON.stringify({ lease_id: '1'.repeat(32), lease_token: '2'.repeat(64), seed: 1 }));
        setImmediate(() =>
          moves.writeHead(409, { 'content-type': 'application/json' }).end('{"error":{"code":"moved"}}'),
        );
      } else {
        moves = response;
        isAsked = true;
      }
    };
    let isAsked = false;
    let moves!: ServerResponse;
    const full: Play = (response) => {
      taken.push('b');
      setTimeout(() => response.writeHead(503).end('{}'), 50);
    };
    const free: Play = (response) => {
      taken.push('c');
      response.end('{"is":"whole"}');
    };
    await withCluster(
      [source, full, free],
      async ({ whole, url, router }) => {
        const headers = { 'content-type': 'application/json', 'x-request-id': 'one' };
        const answer = whole({}, { headers });
        await until(() => router.views[0]!.numRequests === 1 && isAsked);
        const body = JSON.stringify({ request_id: 'one', to: 'b' });
        await fetch(`${url}/migrate`, { method: 'POST', headers, body });
        expect(await (await answer).json()).to.deep.equal({ is: 'whole' });
        expect(taken).to.deep.equal(['b', 'c']);
      },
      { record: OWN },
    );
  });

  it('has its first token when a token comes, and not when it begins', async () => {
    const play: Play = (response) => beginEvents(response).end(written([BEGUN, ''], DONE));
    await withCluster(
      [play],
      async ({ stream, stories }) => {
        await (await stream()).text();
        await until(() => stories.length > 0);
        expect(stories[0]).to.include({ firstTokenMs: null, numOutputTokens: null, status: 200 });
      },
      { record: OWN },
    );
  });

  it('whose prompt is all there is to it has its whole answer from another leg, which is no resume', async () => {
    const prefill: Play = (response, { text }) =>
      text.includes('resume')
        ? response.end('{"usage":{"completion_tokens":1}}')
        : beginEvents(response).end(written([BEGUN, ''], token(0), DONE));
    const records = [{ role: 'prefill' as const }, { role: 'decode' as const }];
    await withCluster(
      [prefill, prefill],
      async ({ whole, stories }) => {
        expect(await (await whole()).json()).to.deep.equal({ usage: { completion_tokens: 1 } });
        await until(() => stories.length > 0);
        expect(stories[0]).to.include({ numResumes: 0, numOutputTokens: 1 });
      },
      { record: OWN, records, base: { router: { resumes: 0 } } },
    );
  });

  it('goes from the instance of its prompt to the one that generates', async () => {
    const { text, moments, story, rollbacks } = await run(SCENES['prefill and decode apart']!);
    expect(text).to.equal(EXPECTED);
    expect(story.instances).to.deep.equal(['a', 'b']);
    expect(story.moves.map(({ from, to, why, isDone }) => ({ from, to, why, isDone }))).to.deep.equal([
      { from: 'a', to: 'b', why: 'apart', isDone: true },
    ]);
    expect(story).to.include({ numOutputTokens: NUM_TOKENS, numRetries: 0, numResumes: 0, status: 200 });
    expect(moments).to.include('a moved').and.not.include('a done');
    expect(rollbacks).to.equal(0);
  });

  it('moves while it is generated', async () => {
    const { text, story } = await run(SCENES['a request that moves']!);
    expect(text).to.equal(EXPECTED);
    expect(story.instances).to.deep.equal(['a', 'b']);
    expect(story.moves.map(({ why, isDone }) => [why, isDone])).to.deep.equal([['asked', true]]);
  });

  it('goes on behind the tokens that its client has', async () => {
    const { text, story } = await run(SCENES['a request whose tokens are heard']!, 4);
    expect(text).to.equal(EXPECTED);
    expect(story).to.include({ numRetries: 0, numResumes: 1, numOutputTokens: NUM_TOKENS });
  });

  it('stays where it is when nobody takes it over', async () => {
    const { text, story, moments, rollbacks } = await run(SCENES['prefill and decode apart']!, 4);
    expect(text).to.equal(EXPECTED);
    expect(moments).to.include('b asked').and.include('a done');
    expect(story.moves.map(({ isDone }) => isDone)).to.deep.equal([false]);
    expect(rollbacks).to.equal(1);
  });

  for (const [title, scene] of Object.entries(SCENES)) {
    it(`is answered with the same tokens whoever dies, at any moment: ${title}`, async () => {
      const { text, moments } = await run(scene);
      expect(text).to.equal(EXPECTED);
      for (const [fatal, moment] of moments.entries()) {
        const outcome = await run(scene, fatal);
        expect(outcome.text, `${moment}, the ${fatal}th of ${moments.join(', ')}`).to.equal(EXPECTED);
      }
    });
  }
});
