import { expect } from 'chai';
import type { BlockEvent } from '../../../../lib/cluster/base/block_events.js';
import type { InstanceRecord } from '../../../../lib/cluster/base/instance_record.js';
import { ROUTER_DEFAULTS } from '../../../../lib/config/router_schema.js';
import { PromptKeys } from '../../../../lib/cluster/routing/prompt_keys.js';
import { jsonOf, streamOf, type Play, type PlayedInstance } from '../../../kit/cluster/played_instance.js';
import { OWN, withCluster, type Routed } from '../../../kit/cluster/routed.js';

const SHARING = { seed: 'ab'.repeat(32), separatesForms: false };
const POOLED: Partial<InstanceRecord> = { ...OWN, sharing: SHARING, isPooled: true, blockSize: 4, model: 'moe-7m' };
const PROMPT = Array.from({ length: 18 }, (_, i) => 100 + i);
const BLOCKS = new PromptKeys({ tokens: PROMPT }).of({ sharing: SHARING, blockSize: 4 });
const keys = Array.from({ length: BLOCKS.numBlocks }, (_, i) => BLOCKS.at(i));
const wholeKeys = keys.map((_, i) => BLOCKS.wholeAt(i));

/** The first instance has the prompt and takes nothing new; the second one is asked. */
const RECORDS = [{ isDraining: true }, {}];

/** What the first instance tells of its blocks. */
function tell({ memberships, router }: Routed, sequence: number, ...events: readonly BlockEvent[]): void {
  const { id: instance, incarnation } = router.views[0]!.record;
  memberships[0]!.publish({ instance, incarnation, sequence, events });
}

const has = (routed: Routed): void => tell(routed, 0, { kind: 'cleared' }, { kind: 'stored', keys });

const bodyOf = ({ asked }: PlayedInstance, index: number): { readonly kv_transfer_params?: object } =>
  JSON.parse(asked[index]!.text) as object;

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
};

const OPTIONS = { record: POOLED, records: RECORDS, base: { router: { policy: 'kv' } } };

describe('a router over instances of one pool', () => {
  it('names who has a prefix to the instance that gets the request, as long as it has it', () =>
    withCluster(
      [streamOf('a'), streamOf('b')],
      async (routed, [holder, target]) => {
        const ask = async (fields: object = {}): Promise<{ readonly kv_transfer_params?: object }> => {
          await (await routed.stream({ model: 'moe-7m', prompt: PROMPT, ...fields })).text();
          return bodyOf(target!, target!.asked.length - 1);
        };
        expect(await ask()).to.not.have.property('kv_transfer_params');
        has(routed);
        expect((await ask()).kv_transfer_params).to.deep.equal({ holders: [holder!.url] });
        const own = { do_remote_prefill: false };
        const { kv_transfer_params: params } = await ask({ kv_transfer_params: own });
        expect(params, 'nothing is added to what a client says itself').to.deep.equal(own);
        tell(routed, 1, { kind: 'removed', keys: keys.slice(0, 1) });
        expect(await ask(), 'its beginning is gone').to.not.have.property('kv_transfer_params');
        expect(holder!.asked).to.deep.equal([]);
      },
      OPTIONS,
    ));

  const withCopies = async (play: Play, use: (routed: Routed, fetches: () => unknown[]) => Promise<void>) => {
    const often = { interval_ms: 5, requests_per_replica: 2, cool_down_ms: 60_000 };
    const replication = { ...ROUTER_DEFAULTS.replication, ...often };
    const isFetch = ({ path }: { readonly path: string }): boolean => path === '/v1/kv/fetch';
    const answer: Play = (response, asked, index) => (isFetch(asked) ? play : streamOf('b'))(response, asked, index);
    await withCluster(
      [streamOf('a'), answer],
      async (routed, [, target]) => {
        has(routed);
        const { record } = routed.router.views[1]!;
        const { id: instance, incarnation } = record;
        const counts = { numWaiting: 0, numRunning: 0, numKvBlocks: 100, numUsedBlocks: 0, numCachedBlocks: 0 };
        const rest = {
          numFreeBlocksOfRank: 100,
          numPrefillTokens: 0,
          prefillTokensPerS: null,
          tbtMs: null,
          requests: [],
        };
        routed.memberships[1]!.report({ instance, incarnation, sequence: 0, ...counts, ...rest });
        for (let i = 0; i < 3; i++) await (await routed.stream({ model: 'moe-7m', prompt: PROMPT })).text();
        await use(routed, () => target!.asked.filter(isFetch).map(({ text }) => JSON.parse(text) as unknown));
      },
      { ...OPTIONS, base: { router: { policy: 'kv', replication } } },
    );
  };
  const metricOf = async ({ url }: Routed, name: string): Promise<string[]> =>
    (await (await fetch(`${url}/metrics`)).text()).split('\n').filter((line) => line.startsWith(name));

  it('has what many ask for come to one more instance, once', () =>
    withCopies(jsonOf(200, { num_blocks: 4 }), async (routed, fetches) => {
      const name = 'expertwire_router_copied_blocks_total{instance="b"} 4';
      while (!(await metricOf(routed, name)).includes(name));
      const holders = [routed.router.views[0]!.record.url];
      expect(fetches()).to.deep.equal([{ keys: wholeKeys, holders }]);
    }));

  it('asks no more of an instance that could not bring it, for a while', () =>
    withCopies(jsonOf(503, { error: { message: 'no room' } }), async (routed, fetches) => {
      await until(() => fetches().length > 0);
      const failed = 'expertwire_router_copies_total{instance="b",outcome="failed"} 1';
      while (!(await metricOf(routed, failed)).includes(failed));
      for (let i = 0; i < 3; i++) await (await routed.stream({ model: 'moe-7m', prompt: PROMPT })).text();
      expect(fetches()).to.have.length(1);
    }));
});
