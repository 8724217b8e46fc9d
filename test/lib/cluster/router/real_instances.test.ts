import { expect } from 'chai';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { withLocalCluster, type LocalCluster } from '../../../kit/cluster/local_cluster.js';

const PROMPT = 'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse';
const NUM_TOKENS = 32;

/** What is asked: where, and with which fields besides. */
type Question = readonly [path: string, fields: object];

const QUESTIONS: Readonly<Record<string, Question>> = {
  'a stream': ['/v1/completions', { prompt: PROMPT, stream: true }],
  'a stream of drawn tokens': ['/v1/completions', { prompt: PROMPT, stream: true, temperature: 1, seed: 5 }],
  'all of an answer': ['/v1/completions', { prompt: PROMPT, temperature: 0.8, seed: 9 }],
  'a chat': [
    '/v1/chat/completions',
    { messages: [{ role: 'user', content: PROMPT }], stream: true, stream_options: { include_usage: true } },
  ],
  'a response': ['/v1/responses', { input: PROMPT, stream: true, max_output_tokens: NUM_TOKENS }],
  'all of a response': ['/v1/responses', { input: PROMPT, max_output_tokens: NUM_TOKENS }],
};

const MOVED = new Set(['a stream', 'a stream of drawn tokens', 'a response']);

const POST = { method: 'POST', headers: { 'content-type': 'application/json' } };

/** What it comes to: texts one behind the other, why it ended, and what is counted, but for what was cached. */
async function ask(
  url: string,
  [path, fields]: Question,
  id: string,
  onPiece?: (numPieces: number) => void,
): Promise<string> {
  const body = JSON.stringify({ max_tokens: NUM_TOKENS, ignore_eos: true, temperature: 0, ...fields });
  const answer = await fetch(`${url}${path}`, { ...POST, headers: { ...POST.headers, 'x-request-id': id }, body });
  expect(answer.status).to.equal(200);
  let text = '';
  let numPieces = 0;
  for await (const piece of answer.body!.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    text += piece;
    onPiece?.(++numPieces);
  }
  expect(text, 'notes are for routers').not.to.match(/^:/m);
  if (path === '/v1/responses') return responseDigestOf(text);
  if (!text.startsWith('data: ')) return digestOf([JSON.parse(text) as Chunk]);
  const events = text.split('\n\n').map((event) => event.replace('data: ', ''));
  expect(events.slice(-2)).to.deep.equal(['[DONE]', '']);
  return digestOf(events.slice(0, -2).map((event) => JSON.parse(event) as Chunk));
}

interface Chunk {
  readonly id: string;
  readonly choices: readonly {
    readonly text?: string;
    readonly delta?: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

function digestOf(chunks: readonly Chunk[]): string {
  const choices = chunks.flatMap((chunk) => chunk.choices);
  const text = choices.map((choice) => choice.text ?? choice.delta?.content ?? '').join('');
  const roles = choices.flatMap(({ delta }) => delta?.role ?? []);
  const reasons = choices.flatMap(({ finish_reason: reason }) => reason ?? []);
  const counts = chunks.flatMap(({ usage }) => (usage == null ? [] : [usage.prompt_tokens, usage.completion_tokens]));
  return JSON.stringify({ ids: [...new Set(chunks.map(({ id }) => id))], text, roles, reasons, counts });
}

/** All events, or the whole answer; pieces of text one behind the other. */
function responseDigestOf(text: string): string {
  const told = text.replace(/"(created_at|completed_at|cached_tokens|sequence_number)":\d+/g, '"$1":0');
  if (!told.startsWith('event: ')) return told;
  let pieces = '';
  const others = told.split('\n\n').filter((event) => {
    if (!event.startsWith('event: response.output_text.delta\n')) return true;
    pieces += (JSON.parse(event.slice(event.indexOf('data: ') + 6)) as { readonly delta: string }).delta;
    return false;
  });
  return JSON.stringify([pieces, others]);
}

/** The same from one instance alone, without a router: afterwards, since it keeps what it computed. */
const alone = ({ instances }: LocalCluster, question: Question, id: string): Promise<string> =>
  ask(instances.find(({ isDead }) => !isDead())!.url, question, id);

const migrate = async ({ url }: LocalCluster, id: string, to: string): Promise<number> =>
  (await fetch(`${url}/migrate`, { ...POST, body: JSON.stringify({ request_id: id, to }) })).status;

describe('a router before real instances', () => {
  for (const [from, to] of [
    [1, 2],
    [2, 1],
  ] as const) {
    it(`has prompts and what comes behind them computed apart, ${from} → ${to} ranks, with the answers of one instance`, async () => {
      const instances = [
        { role: 'prefill', numRanks: from },
        { role: 'decode', numRanks: to },
      ] as const;
      await withLocalCluster(DEMO_MODEL, instances, async (cluster) => {
        const { url, stories } = cluster;
        for (const [name, question] of Object.entries(QUESTIONS)) {
          const id = `apart-${name.replaceAll(' ', '-')}`;
          const answer = await ask(url, question, id);
          expect(answer, name).to.equal(await alone(cluster, question, id));
          const story = stories.find(({ asked }) => asked.id === id)!;
          expect(
            story.moves.map((move) => [move.from, move.to, move.isDone]),
            name,
          ).to.deep.equal([['i0', 'i1', true]]);
          expect(story).to.include({ numResumes: 0, numRetries: 0, status: 200 });
        }
      });
    });
  }

  it('moves streams to and fro while they come', async () => {
    await withLocalCluster(DEMO_MODEL, [{}, { numRanks: 2 }], async (cluster) => {
      for (const [name, question] of Object.entries(QUESTIONS).filter(([each]) => MOVED.has(each))) {
        const id = `moves-${name.length}`;
        const moved: Promise<number>[] = [];
        const answer = await ask(cluster.url, question, id, (numPieces) => {
          if (numPieces === 3) moved.push(migrate(cluster, id, 'i0'), migrate(cluster, id, 'i1'));
        });
        const statuses = await Promise.all(moved);
        expect(answer, name).to.equal(await alone(cluster, question, id));
        expect(statuses.sort(), name).to.deep.equal([200, 409]); // one of them has it already
      }
      const { moves } = cluster.stories[0]!;
      expect(moves.map(({ why, isDone }) => [why, isDone])).to.deep.equal([['asked', true]]);
    });
  });

  it('has another instance go on where one is killed', async () => {
    await withLocalCluster(
      DEMO_MODEL,
      [{}, {}, {}],
      async (cluster) => {
        const { url, instances, stories } = cluster;
        const questions = Object.entries(QUESTIONS);
        let isKilled = false;
        const answers = await Promise.all(
          questions.map(([, question], i) =>
            ask(url, question, `kill-${i}`, (numPieces) => {
              if (i !== 0 || numPieces !== 4 || isKilled) return;
              isKilled = true;
              void instances[0]!.kill();
            }),
          ),
        );
        for (const [i, [name, question]] of questions.entries()) {
          expect(answers[i], name).to.equal(await alone(cluster, question, `kill-${i}`));
        }
        expect(stories.reduce((sum, { numResumes, numRetries }) => sum + numResumes + numRetries, 0)).to.be.above(0);
      },
      { policy: 'round_robin' },
    );
  });

  it('has requests leave an instance that drains', async () => {
    await withLocalCluster(DEMO_MODEL, [{}, {}], async (cluster) => {
      const { url, instances, stories } = cluster;
      const question: Question = ['/v1/completions', { ...QUESTIONS['a stream']![1], max_tokens: 400 }];
      let drained: Promise<number> | undefined;
      const answer = await ask(url, question, 'drain', (numPieces) => {
        if (numPieces === 3) drained ??= instances.find(({ id }) => id === placeOf(cluster))!.server.drain();
      });
      expect(await drained).to.equal(0);
      const { moves, instances: sent } = stories[0]!;
      expect(moves.map(({ why, isDone }) => [why, isDone])).to.deep.equal([['drain', true]]);
      const left = instances.find(({ id }) => id === sent.at(-1))!;
      expect(answer).to.equal(await ask(left.url, question, 'drain'));
    });
  });

  it('sends equal beginnings to who has computed them', async () => {
    await withLocalCluster(DEMO_MODEL, [{}, {}, {}], async ({ url, bus, stories }) => {
      const stored = new Promise<void>((resolve) => {
        let numKeys = 0;
        bus.watch((event) => {
          if (event.kind !== 'blocks') return;
          for (const each of event.batch.events) if (each.kind === 'stored') numKeys += each.keys.length;
          if (numKeys >= 2) resolve();
        });
      });
      await ask(url, QUESTIONS['a stream']!, 'first');
      await stored;
      const [first] = stories[0]!.instances;
      for (let i = 0; i < 3; i++) {
        await ask(url, ['/v1/completions', { prompt: `${PROMPT}, and ${i}`, stream: true }], `next-${i}`);
      }
      expect(stories.map(({ instances }) => instances)).to.deep.equal([[first], [first], [first], [first]]);
      expect(stories[1]!.numCachedTokens).to.equal(32);
    });
  });
});

/** Where requests run now. */
const placeOf = ({ instances }: LocalCluster): string | undefined =>
  instances.find(({ local }) => local.engine.load.ranks.some(({ numRunning }) => numRunning > 0))?.id;
