import { expect } from 'chai';
import OpenAI from 'openai';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import type { OfferedParams } from '../../../../lib/server/cluster/transfer_params.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import {
  begunOf,
  CLUSTER_KEY,
  dataOf,
  routed,
  tokensOf,
  TwoServers,
  type Asked,
  type Block,
} from '../../../kit/server/two_servers.js';

/** Steps of a source leave the event loop to whoever asks it something: it ends long after that. */
const NUM_TOKENS = 48;
const FROM = { numRanks: 1, set: ['engine.block_size=4'], latency: () => 2 };
const TO = { numRanks: 2, set: ['engine.block_size=8'] };
const SEVERAL = { numRanks: 2, latency: () => 2 };
const ONE = { numRanks: 1 };
const PROMPT = 'Once upon a time there was a clockmaker who';

const completion = (more: object = {}): Asked => ({
  path: '/v1/completions',
  body: { prompt: PROMPT, max_tokens: NUM_TOKENS, temperature: 0, ...more },
});
const chat = (more: object = {}): Asked => ({
  path: '/v1/chat/completions',
  body: { messages: [{ role: 'user', content: PROMPT }], max_tokens: NUM_TOKENS, temperature: 0, ...more },
});
const response = (more: object = {}): Asked => ({
  path: '/v1/responses',
  body: { input: PROMPT, max_output_tokens: NUM_TOKENS, temperature: 0, ...more },
});
const USAGE = { stream_options: { include_usage: true } };

/** How many tokens were found in the cache of whichever instance ended it isn't the request's own. */
const withoutCached = (blocks: readonly string[]): string[] =>
  blocks.map((block) => block.replace(/"cached_tokens":\d+/g, '"cached_tokens":0'));

async function all(blocks: AsyncIterable<Block>): Promise<Block[]> {
  const list: Block[] = [];
  for await (const block of blocks) list.push(block);
  return list;
}

const asJson = (json: object): unknown => JSON.parse(withoutCached([JSON.stringify(json)])[0]!) as unknown;

describe('a request that moves between two servers', () => {
  it('is the stream of one, wherever it moves', () =>
    TwoServers.use(DEMO_MODEL, [FROM, TO], async (two) => {
      for (const asked of [completion({ ...USAGE, echo: true }), chat({ temperature: 1, seed: 9 }), response()]) {
        const alone = withoutCached(dataOf(await all(two.stream(two.from, asked, 'x'))));
        for (const at of [1, 6]) {
          expect(withoutCached(await two.movedStream(asked, at, 'x')), `${asked.path} at ${at}`).to.deep.equal(alone);
        }
      }
    })).timeout(120_000);

  it('is the stream of one where prompts are computed here, and tokens there', () =>
    TwoServers.use(DEMO_MODEL, [SEVERAL, ONE], async (two) => {
      for (const asked of [completion(USAGE), chat({ temperature: 1, seed: 9 })]) {
        const alone = withoutCached(dataOf(await all(two.stream(two.from, asked, 'x'))));
        expect(withoutCached(await two.handedOverStream(asked, 'x')), asked.path).to.deep.equal(alone);
        expect(two.engines.to.engine.stats().arrivals.numRecomputed, 'nothing is computed twice').to.equal(0);
      }
    })).timeout(120_000);

  it('is the stream of one where layers have states, which nobody reads: its prompt is computed there too', () =>
    withTempFolder(async (dir) => {
      const { tokens, cases } = readConformance('lfm2_moe');
      await writeConformanceModel(dir, cases[0]!, new Map());
      await TwoServers.use(dir, [ONE, ONE], async (two) => {
        const body = { prompt: tokens.slice(0, 9), max_tokens: 8, temperature: 0, ignore_eos: true };
        const asked = { path: '/v1/completions', body };
        const alone = tokensOf(await all(two.stream(two.from, asked, 'x')));
        const apart = { ...asked, body: { ...body, kv_transfer_params: { do_remote_decode: true } } };
        const told: Block[] = [];
        let known: readonly Block[] = [];
        let there: Promise<readonly Block[]> | null = null;
        for await (const block of two.stream(two.from, apart, 'x')) {
          told.push(block);
          if (block.note?.kind !== 'kv') continue;
          known = [...told];
          there = two.goOn(asked, 'x', known, block.note.params);
        }
        expect([...tokensOf(known), ...tokensOf(await there!)]).to.deep.equal(alone);
        expect([tokensOf(told).length, told.at(-1)!.note?.kind]).to.deep.equal([1, 'moved']);
      });
    })).timeout(120_000);

  it('is the whole answer of one: the source says that it moved, and the target tells all', () =>
    TwoServers.use(DEMO_MODEL, [FROM, ONE], async (two) => {
      for (const asked of [completion({ temperature: 1, seed: 5 }), chat()]) {
        const alone = await two.whole(two.from, asked, routed('x'));
        two.gate.closeAfter(3);
        const source = two.whole(two.from, asked, routed('x'));
        const params = await two.leaseOnceRunning('x');
        const created = (alone.json as { readonly created: number }).created;
        const body = { ...asked.body, kv_transfer_params: params, resume: { token_ids: [], created } };
        const target = two.whole(two.to, { ...asked, body }, routed('x'));
        await two.untilThere();
        two.gate.open();
        expect((await source).status).to.equal(409);
        expect((await source).json).to.have.nested.property('error.code', 'moved');
        expect(asJson((await target).json)).to.deep.equal(asJson(alone.json));
      }
    })).timeout(120_000);

  it('goes on behind a death, from what its client has', () =>
    TwoServers.use(DEMO_MODEL, [FROM, TO], async (two) => {
      for (const asked of [completion({ ...USAGE, temperature: 1 }), response()]) {
        const told: Block[] = [];
        for await (const block of two.stream(two.from, asked, 'x')) {
          told.push(block);
          if (tokensOf(told).length === 5) break; // the connection is closed
        }
        const rest = await two.goOn(asked, 'x', told);
        const { seed } = begunOf(told);
        const whole = { ...asked, body: { ...asked.body, seed } };
        const alone = dataOf(await all(two.stream(two.to, whole, 'x')));
        expect(withoutCached([...dataOf(told), ...dataOf(rest)])).to.deep.equal(withoutCached(alone));
      }
    })).timeout(120_000);

  it('goes on where it is when its lease is rolled back', () =>
    TwoServers.use(DEMO_MODEL, [FROM, ONE], async (two) => {
      const alone = dataOf(await all(two.stream(two.from, completion(), 'x')));
      two.gate.closeAfter(3);
      const told: Block[] = [];
      for await (const block of two.stream(two.from, completion(), 'x')) {
        if (told.push(block) > 1) continue;
        const { lease_id: id, lease_token: token } = await two.leaseOnceRunning('x');
        const ask = (path: string) =>
          fetch(`${two.from}/v1/kv/leases/${id}${path}`, {
            method: 'POST',
            headers: { authorization: `Bearer ${token}` },
          });
        const paused = ask('/pause');
        two.gate.open();
        expect(await (await paused).json()).to.include({ is_final: true });
        expect((await ask('/rollback')).status).to.equal(200);
        expect((await ask('/pause')).status).to.equal(410);
      }
      expect(dataOf(told)).to.deep.equal(alone);
    })).timeout(120_000);
});

describe('vLLM’s way with two servers', () => {
  /** What vLLM's toy_proxy_server.py sends, and passes on. */
  const prefillOf = ({ path, body }: Asked): Asked => ({
    path,
    body: {
      ...{ ...body, stream: false, max_tokens: 1 },
      kv_transfer_params: {
        ...{ do_remote_decode: true, do_remote_prefill: false, remote_engine_id: null },
        ...{ remote_block_ids: null, remote_host: null, remote_port: null },
      },
    },
  });

  it('a prompt is computed by one, and its tokens by the other, which tells all of them', () =>
    TwoServers.use(DEMO_MODEL, [TO, ONE], async (two) => {
      for (const asked of [completion({ temperature: 1 }), chat()]) {
        const { json } = await two.whole(two.from, prefillOf(asked), { 'x-request-id': 'x' });
        const params = json.kv_transfer_params as OfferedParams;
        expect(params.remote_block_ids).to.not.have.length(0);
        const body = { ...asked.body, kv_transfer_params: params };
        const there = await two.whole(two.to, { ...asked, body }, { 'x-request-id': 'x' });
        const seeded = { ...asked, body: { ...asked.body, seed: params.seed } };
        const alone = await two.whole(two.from, seeded, { 'x-request-id': 'x' });
        const timeless = (json: object) => ({ ...(asJson(json) as object), created: 0 });
        expect(timeless(there.json)).to.deep.equal(timeless(alone.json));
      }
      expect(two.engines.to.engine.stats().arrivals).to.deep.include({ numRecomputed: 0, numLostSources: 0 });
    })).timeout(120_000);

  it('params that are too old are no loss: the prompt is computed anew', () =>
    TwoServers.use(DEMO_MODEL, [ONE, ONE], async (two) => {
      const { json } = await two.whole(two.from, prefillOf(completion()));
      const params = json.kv_transfer_params as OfferedParams;
      await fetch(`${two.from}/v1/kv/leases/${params.lease_id}/rollback`, {
        ...{ method: 'POST', headers: { authorization: `Bearer ${params.lease_token}` } },
      });
      const body = { ...completion().body, kv_transfer_params: params };
      const there = await two.whole(two.to, { path: '/v1/completions', body });
      const alone = await two.whole(two.to, completion());
      expect((there.json.choices as unknown[])[0]).to.deep.equal((alone.json.choices as unknown[])[0]);
    })).timeout(120_000);
});

describe('OpenAI’s own client at an instance', () => {
  it('reads a stream with notes as one without', () =>
    TwoServers.use(DEMO_MODEL, [ONE, ONE], async (two) => {
      const textOf = async (defaultHeaders: Readonly<Record<string, string>>): Promise<string> => {
        const client = new OpenAI({ baseURL: `${two.from}/v1`, apiKey: CLUSTER_KEY, defaultHeaders });
        const messages = [{ role: 'user' as const, content: PROMPT }];
        const stream = await client.chat.completions.create({
          model: 'moe-7m',
          messages,
          max_completion_tokens: 9,
          temperature: 0,
          stream: true,
        });
        let text = '';
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
        return text;
      };
      expect(await textOf(routed('x')))
        .to.equal(await textOf({}))
        .and.not.equal('');
    })).timeout(60_000);
});
