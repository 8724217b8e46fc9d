import { expect } from 'chai';
import type { Play } from '../../../kit/cluster/played_instance.js';
import { OWN, withCluster } from '../../../kit/cluster/routed.js';
import { BatchClient, batchConfig, linesOf } from '../../../kit/server/batch_client.js';
import { until } from '../../../kit/server/listening.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** A whole answer that says who gave it. */
const saying =
  (text: string): Play =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ choices: [{ text }] }));
  };
const ending: Play = (response) => {
  response.writeHead(503, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { code: 'draining' } }));
};

const lines = linesOf(6, () => ({ model: 'played' }));

describe('batches of a router', () => {
  it('are spread over its instances', () =>
    withCluster([saying('a'), saying('b')], async ({ router }, instances) => {
      const client = new BatchClient(router.app);
      const batch = await client.over((await client.create(lines)).id);
      expect(batch.request_counts).to.deep.equal({ total: 6, completed: 6, failed: 0 });
      const texts = [...(await client.rows(batch.output_file_id)).values()].map(
        ({ response }) => response!.body.choices![0]!.text,
      );
      expect(texts.sort()).to.deep.equal(['a', 'a', 'a', 'b', 'b', 'b']);
      expect(instances.map(({ asked }) => asked.length)).to.deep.equal([3, 3]);
      expect(instances[0]!.asked[0]!.text, 'servers of others know no priorities').not.to.include('priority');
      const metrics = (await client.ask('GET', '/metrics')).body;
      expect(metrics).to.include('expertwire_router_batch_requests_total{outcome="completed"} 6');
      expect(metrics).to.include('expertwire_router_batches{status="completed"} 1');
    }));

  it('wait where no instance takes a line, and are last where instances are ours', () =>
    withCluster(
      [(response, asked, index) => (index < 3 ? ending : saying('a'))(response, asked, index)],
      async ({ router }, [instance]) => {
        const client = new BatchClient(router.app);
        const batch = await client.over((await client.create(lines.slice(0, 1))).id);
        expect(batch.request_counts).to.deep.equal({ total: 1, completed: 1, failed: 0 });
        expect(instance!.asked.length).to.be.at.least(4);
        expect(JSON.parse(instance!.asked[0]!.text)).to.include({ priority: 2 ** 31 - 1 });
      },
      { record: { ...OWN } },
    ));

  it('run behind keys, which instances are not shown', () =>
    withCluster(
      [saying('a')],
      async ({ router }, [instance]) => {
        const client = new BatchClient(router.app, 'sesame');
        const batch = await client.over((await client.create(lines)).id);
        expect(batch.request_counts!.completed).to.equal(6);
        expect(instance!.asked.map(({ headers }) => headers.authorization)).to.deep.equal(lines.map(() => undefined));
        expect((await new BatchClient(router.app).ask('GET', '/v1/batches')).statusCode).to.equal(401);
      },
      { apiKeys: ['sesame'] },
    ));

  it('go on in the next router with their folder', () =>
    withTempFolder(async (folder) => {
      const config = batchConfig({ folder, concurrency: 1 });
      const held: Play = (response, asked, index) => (index === 2 ? undefined : saying('a')(response, asked, index));
      const id = await withCluster(
        [held],
        async ({ router }, [instance]) => {
          const client = new BatchClient(router.app);
          const batch = await client.create(lines);
          await until(() => instance!.asked.length === 3);
          return batch.id;
        },
        config,
      );
      await withCluster(
        [saying('b')],
        async ({ router }, [instance]) => {
          const client = new BatchClient(router.app);
          expect((await client.over(id)).request_counts).to.deep.equal({ total: 6, completed: 6, failed: 0 });
          expect(instance!.asked).to.have.length(4);
        },
        config,
      );
    }));
});
