import { expect } from 'chai';
import type { PartialConfig } from '../../../../lib/config/load.js';
import { ROUTER_DEFAULTS } from '../../../../lib/config/router_schema.js';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { withLocalCluster, type LocalCluster, type LocalInstanceOptions } from '../../../kit/cluster/local_cluster.js';

/** Generated tokens have the bits of prompts then, so that a next turn finds them. */
const SET = ['engine.block_size=4', 'engine.mla=absorbed', 'engine.kv_bring=always'];
const NUM_TOKENS = 9;
const FIRST = Array.from({ length: 21 }, (_, i) => 70 + ((7 * i) % 900));
const SAID = [500, 501, 502, 503, 504, 505];

interface Told {
  readonly tokenIds: readonly number[];
  readonly numCached: number;
}

async function ask({ post }: LocalCluster, promptTokenIds: readonly number[]): Promise<Told> {
  const fields = { max_tokens: NUM_TOKENS, ignore_eos: true, temperature: 0, return_token_ids: true };
  const answer = await post('/v1/completions', { prompt: promptTokenIds, ...fields });
  expect(answer.status).to.equal(200);
  const { choices, usage } = (await answer.json()) as {
    readonly choices: readonly { readonly token_ids: readonly number[] }[];
    readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
  };
  return { tokenIds: choices[0]!.token_ids, numCached: usage.prompt_tokens_details.cached_tokens };
}

/** The instance of that number told of so many blocks, from now on. */
const blocksOf = ({ bus }: LocalCluster, instance: string, numBlocks: number): Promise<void> =>
  new Promise((resolve) => {
    let numTold = 0;
    bus.watch((event) => {
      if (event.kind !== 'blocks' || event.batch.instance !== instance) return;
      for (const each of event.batch.events) if (each.kind === 'stored') numTold += each.keys.length;
      if (numTold >= numBlocks) resolve();
    });
  });

/** Requests go in turns, wherever their beginning lies. */
const cluster = <T>(
  options: readonly LocalInstanceOptions[],
  use: (made: LocalCluster) => Promise<T>,
  router: PartialConfig['router'] = { kv_overlap_weight: 0 },
): Promise<T> => {
  const all = options.map((each) => ({ ...each, set: [...SET, ...(each.set ?? [])] }));
  return withLocalCluster(DEMO_MODEL, all, use, { policy: 'kv', ...router });
};

const fetchedBy = ({ instances }: LocalCluster): number[] =>
  instances.map(({ local }) => local.engine.stats().pool.fetched.instance.numBlocks);

describe('instances of one pool behind a router', function () {
  this.timeout(60_000);
  let alone: readonly Told[] = [];
  const second = (): number[] => [...FIRST, ...alone[0]!.tokenIds, ...SAID];

  before(async () => {
    alone = await cluster([{ set: ['engine.prefix_cache=off'] }], async (made) => {
      const first = await ask(made, FIRST);
      return [first, await ask(made, [...FIRST, ...first.tokenIds, ...SAID])];
    });
  });

  it('find what any of them computed, prompts and answers, with the same tokens', () =>
    cluster([{}, {}], async (made) => {
      const stored = blocksOf(made, 'i0', 7);
      expect((await ask(made, FIRST)).tokenIds).to.deep.equal(alone[0]!.tokenIds);
      await stored;
      // 21 tokens and 8 of the answer that were computed: 7 blocks of 4.
      expect(await ask(made, second())).to.deep.equal({ tokenIds: alone[1]!.tokenIds, numCached: 28 });
      expect(made.stories.map(({ instances }) => instances)).to.deep.equal([['i0'], ['i1']]);
      expect(fetchedBy(made)).to.deep.equal([0, 7]);
    }));

  it('find what a decode instance generated where the next turn’s prompt is computed', () =>
    cluster([{ role: 'prefill' }, { role: 'decode' }], async (made) => {
      const stored = blocksOf(made, 'i1', 7);
      expect((await ask(made, FIRST)).tokenIds).to.deep.equal(alone[0]!.tokenIds);
      await stored;
      const { tokenIds } = await ask(made, second());
      expect(tokenIds).to.deep.equal(alone[1]!.tokenIds);
      expect(made.stories.map(({ instances }) => instances)).to.deep.equal([['i0', 'i1'], ['i0', 'i1']]); // prettier-ignore
      expect(fetchedBy(made), 'five blocks of the first prompt are there already').to.deep.equal([2, 0]);
      expect(made.stories[1]!.numCachedTokens).to.equal(28);
    }));

  it('compute what was to come from an instance that is killed', () =>
    cluster([{}, {}], async (made) => {
      const stored = blocksOf(made, 'i0', 7);
      await ask(made, FIRST);
      await stored;
      const [, answer] = await Promise.all([made.instances[0]!.kill(), ask(made, second())]);
      expect(answer.tokenIds).to.deep.equal(alone[1]!.tokenIds);
    }));

  it('have what many ask for before it is asked for there, and when who computed it is gone', () => {
    const often = { interval_ms: 20, requests_per_replica: 2, cool_down_ms: 60_000 };
    return cluster(
      [{}, {}],
      async (made) => {
        const [computed, copied] = [blocksOf(made, 'i0', 5), blocksOf(made, 'i1', 5)];
        await ask(made, FIRST);
        await computed;
        for (let i = 0; i < 2; i++) await ask(made, FIRST);
        await copied;
        expect(made.stories.map(({ instances }) => instances)).to.deep.equal([['i0'], ['i0'], ['i0']]);
        await made.instances[0]!.kill();
        expect(await ask(made, FIRST)).to.deep.equal({ tokenIds: alone[0]!.tokenIds, numCached: 20 });
      },
      { kv_overlap_weight: 1000, replication: { ...ROUTER_DEFAULTS.replication, ...often } },
    );
  });

  it('have nothing in common where they don’t want to', () =>
    cluster([{}, { set: ['engine.kv_pool=off'] }], async (made) => {
      const stored = blocksOf(made, 'i0', 7);
      await ask(made, FIRST);
      await stored;
      expect(await ask(made, second())).to.deep.equal({ tokenIds: alone[1]!.tokenIds, numCached: 0 });
      expect(fetchedBy(made)).to.deep.equal([0, 0]);
    }));
});
