import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { cluster } from '../../../../lib/commands/cluster/cluster.js';
import { routeConfig } from '../../../../lib/commands/cluster/cluster_options.js';
import { route } from '../../../../lib/commands/cluster/route.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** A file with these instances. */
const withFile = <T>(instances: object, act: (file: string) => Promise<T>, more: object = {}): Promise<T> =>
  withTempFolder(async (dir) => {
    const file = join(dir, 'c.yaml');
    await writeFile(file, JSON.stringify({ model: DEMO_MODEL, instances, ...more }));
    return act(file);
  });

describe('mistakes in calls of cluster and route', () => {
  it('a file without instances says what to write', () =>
    withFile([], async (file) => {
      const error = await errorOf(UsageError, () => cluster({ file }, commandContext()));
      expect(error.message).to.equal(`${file} lists no instances; add a line such as "instances: [{ count: 2 }]"`);
    }));

  it('instances that would come and go for ever are refused', () =>
    withFile(
      [{ max_count: 2 }],
      async (file) => {
        const error = await errorOf(UsageError, () => cluster({ file }, commandContext()));
        expect(error.message).to.match(/^router.elastic.add_below \(60\) is not below remove_above \(60\)/);
      },
      { router: { elastic: { add_below: 60 } } },
    ));

  it('an instance of another machine needs a key that both know', () =>
    withFile([{ host: 'b', port: 80 }], async (file) => {
      const error = await errorOf(UsageError, () => cluster({ file }, commandContext()));
      expect(error.message).to.match(/^instance mixed-0 is on b: .*EXPERTWIRE_CLUSTER_KEY to the same random/);
    }));

  it('a router without anybody to route to asks for it', async () => {
    const error = await errorOf(UsageError, () => route({}, commandContext()));
    expect(error.message).to.match(/give --url URL for each, or --bus nats:/);
  });

  it('a router starts nobody: an instance of which only cluster would know where it is is named', () =>
    withFile([{ host: 'b', port: 80 }, {}], async (config) => {
      const error = await errorOf(UsageError, () => route({ config }, commandContext()));
      expect(error.message).to.match(/^nobody says where instance mixed-1 is; .*`expertwire cluster`$/);
    }));

  it('a router needs no model where its instances have theirs; one that is given must be there', async () => {
    await withFile(
      [],
      async (config) => {
        expect((await routeConfig({ config, url: ['http://a:1'] }, {})).model).to.equal(DEMO_MODEL);
        const error = await errorOf(ConfigError, () => routeConfig({ config, model: 'nowhere' }, {}));
        expect([error.code, error.key]).to.deep.equal(['NOT_FOUND', 'model']);
      },
      { model: 'not/here/at/all' },
    );
    expect((await routeConfig({ url: ['http://a:1'] }, {})).model).to.equal(DEMO_MODEL);
  });

  it('what is given on the line goes before the file', () =>
    withFile(
      [{}],
      async (config) => {
        const { instances, router, cluster } = await routeConfig(
          { config, url: ['http://a:1'], bus: 'nats://b:2', port: 3, policy: 'random', set: ['router.seed=4'] },
          {},
        );
        expect(instances.map(({ url }) => url)).to.deep.equal(['http://a:1']);
        expect([router.port, router.policy, router.seed, cluster.bus]).to.deep.equal([3, 'random', 4, 'nats://b:2']);
      },
      { router: { port: 9, policy: 'kv', seed: 9 } },
    ));
});
