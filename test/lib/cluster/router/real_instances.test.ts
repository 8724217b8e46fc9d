import { expect } from 'chai';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { withLocalCluster, type LocalCluster } from '../../../kit/cluster/local_cluster.js';

interface Answer {
  readonly choices: readonly { readonly text: string; readonly finish_reason: string | null }[];
  readonly usage: { readonly completion_tokens: number };
}

const PROMPT = 'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse';

const ask = async ({ post }: LocalCluster, fields: object = {}): Promise<Answer> => {
  const answer = await post('/v1/completions', { prompt: PROMPT, max_tokens: 24, temperature: 0, ...fields });
  expect(answer.status).to.equal(200);
  return (await answer.json()) as Answer;
};

const streamed = async ({ post }: LocalCluster, fields: object = {}, id = 'one'): Promise<string> => {
  const body = { prompt: PROMPT, max_tokens: 24, temperature: 0, stream: true, ...fields };
  const answer = await post('/v1/completions', body, { 'x-request-id': id });
  return answer.text();
};

describe('a router before real instances', () => {
  it('apart: the same stream as one instance’s', async () => {
    const alone = await withLocalCluster(DEMO_MODEL, [{}], (cluster) => streamed(cluster));
    await withLocalCluster(DEMO_MODEL, [{ role: 'prefill' }, { role: 'decode', numRanks: 2 }], async (cluster) => {
      const apart = await streamed(cluster);
      const created = (text: string): string => text.replaceAll(/"created":\d+/g, '');
      expect(created(apart)).to.equal(created(alone));
      expect(cluster.stories[0]!.moves.map(({ from, to, isDone }) => [from, to, isDone])).to.deep.equal([
        ['i0', 'i1', true],
      ]);
      console.log(cluster.stories[0], (await ask(cluster)).choices[0]);
    });
  });
});
