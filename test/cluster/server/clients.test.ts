import { expect } from 'chai';
import { createParser } from 'eventsource-parser';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { pick, randomInteger } from '../../kit/server/malformed_requests.js';
import { ServedJob } from '../../kit/server/served_job.js';
import { randomFrom } from '../../refs/random.js';

/** `npm run soak` sets 200 and 60. */
const NUM_CLIENTS = Number(process.env.SOAK_CLIENTS ?? 12);
const NUM_SECONDS = Number(process.env.SOAK_SECONDS ?? 2);
/** Where time is enough for code to be compiled and caches to fill, memory is looked at. */
const IS_LONG = NUM_SECONDS >= 30;
const MAX_GROWTH_BYTES = 8 * 1024 * 1024;

const PROMPTS = ['Call me', 'In the beginning', 'import', '# A', 'The LORD said unto', 'It was the best of'];
const MAX_TOKENS = 24;
const MAX_CHOICES = 12;

const BAD = [
  { temperature: -1 },
  { model: 'gpt-4' },
  { max_tokens: 9999 },
  { logit_bias: { x: 1 } },
  { best_of: 9 },
  { prompt: [99_999] },
];

describe(`${NUM_CLIENTS} clients at once for ${NUM_SECONDS} s`, function () {
  this.timeout(60_000 + 2000 * NUM_SECONDS);

  it('get the tokens that they would get alone, no error but their own, and leave nothing behind', () =>
    serveAll(SCENES.plain));

  it('get the same tokens while ranks are lost whose experts others have too', () => serveAll(SCENES.losses));

  it('get the same tokens with hardly room for them, while experts move', () => serveAll(SCENES.tight));
});

interface Scene {
  readonly ranks: number;
  readonly set: readonly string[];
  /** Ranks that are killed, one after the other. */
  readonly killed: readonly number[];
}

const SCENES: Readonly<Record<'plain' | 'losses' | 'tight', Scene>> = {
  plain: { ranks: 2, set: [], killed: [] },
  losses: {
    ranks: 3,
    set: ['comm.on_peer_loss=mask', 'comm.reduce=source', 'experts.num_redundant_experts=64'],
    killed: [2, 0],
  },
  tight: {
    ranks: 2,
    set: [
      ...['comm.reduce=source', 'engine.num_kv_blocks=12', 'engine.block_size=4', 'engine.max_num_batched_tokens=8'],
      ...[
        'engine.max_num_seqs=8',
        'engine.scheduling=lpm',
        'load_balance.enabled=true',
        'load_balance.step_interval=16',
      ],
      ...['load_balance.min_gain=0', 'load_balance.cool_down=0'],
    ],
    killed: [],
  },
};

/** All that clients do at once, and what must be so then. */
async function serveAll({ ranks, set, killed }: Scene): Promise<void> {
  // A full queue is no error of the server's: here nobody is to meet one.
  const room = [`engine.max_num_waiting=${MAX_CHOICES * NUM_CLIENTS}`];
  const job = await ServedJob.start({ model: DEMO_MODEL, ranks, set: [...room, ...set] });
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  try {
    const expected = new Map<string, readonly number[]>();
    for (const prompt of PROMPTS)
      expected.set(prompt, (await job.generate(prompt, MAX_TOKENS, { ignoreEos: true })).tokenIds);
    const end = performance.now() + 1000 * NUM_SECONDS;
    const counts = { whole: 0, streamed: 0, abandoned: 0, refused: 0 };
    const clients = Array.from({ length: NUM_CLIENTS }, async (_, i) => {
      const client = new Client(job.url, randomFrom(100 + i), expected);
      while (performance.now() < end) counts[await client.once()]++;
    });
    for (const rank of killed) {
      await job.until(({ numRunning }) => numRunning > 2);
      process.kill(job.engine.stats().loadReports[rank]!.pid, 'SIGKILL');
      while (!job.engine.stats().lostRanks.includes(rank)) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const heapBytes = IS_LONG ? await heapAfter(NUM_SECONDS / 3) : 0;
    await Promise.all(clients);
    await job.until(({ numRunning }) => numRunning === 0);
    job.expectIdle();
    if (IS_LONG) expect((await heapAfter(0)) - heapBytes, JSON.stringify(counts)).to.be.below(MAX_GROWTH_BYTES);
    for (const [kind, count] of Object.entries(counts)) expect(count, kind).to.be.above(0);
    expect(job.engine.stats().lostRanks).to.have.members([...killed]);
    expect(await job.server.drain()).to.equal(0);
    expect(warnings).to.deep.equal([]);
  } finally {
    process.off('warning', onWarning);
    await job.close();
  }
}

/** Does one random thing after another. */
class Client {
  constructor(
    private readonly url: string,
    private readonly random: () => number,
    private readonly expected: ReadonlyMap<string, readonly number[]>,
  ) {}

  async once(): Promise<'whole' | 'streamed' | 'abandoned' | 'refused'> {
    const { random } = this;
    const prompt = pick(random, PROMPTS);
    const maxTokens = 1 + randomInteger(random, MAX_TOKENS);
    const fields = { prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true, return_token_ids: true };
    const tokens = this.expected.get(prompt)!.slice(0, maxTokens);
    switch (randomInteger(random, 5)) {
      case 0: {
        const answer = await this.post({ ...fields, ...pick(random, BAD), stream: random() < 0.5 });
        await answer.text();
        expect(answer.status).to.be.within(400, 404);
        return 'refused';
      }
      case 1: {
        const leaving = new AbortController();
        const answer = this.post({ ...fields, stream: true }, leaving.signal);
        if (random() < 0.5) await (await answer).body!.getReader().read();
        leaving.abort();
        await answer.catch(() => undefined);
        return 'abandoned';
      }
      case 2: {
        const n = pick(random, [1, 2, MAX_CHOICES]); // a signal with more than ten listeners is warned of
        const answer = await this.post({ ...fields, n });
        const { choices } = (await answer.json()) as { choices: { token_ids: number[] }[] };
        expect(choices.map(({ token_ids: ids }) => ids)).to.deep.equal(Array(n).fill(tokens));
        return 'whole';
      }
      default: {
        const answer = await this.post({ ...fields, stream: true });
        expect(tokensOf(await answer.text())).to.deep.equal(tokens);
        return 'streamed';
      }
    }
  }

  private post(body: object, signal?: AbortSignal): Promise<Response> {
    return fetch(`${this.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal !== undefined && { signal }),
    });
  }
}

/** All tokens of a stream that ends as it should. */
function tokensOf(text: string): readonly number[] {
  const tokens: number[] = [];
  let isDone = false;
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') isDone = true;
      else tokens.push(...(JSON.parse(data) as { choices: { token_ids: number[] }[] }).choices[0]!.token_ids);
    },
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(text);
  expect(isDone, text).to.equal(true);
  return tokens;
}

/** What is left after garbage collection, so many seconds from now. */
async function heapAfter(seconds: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
