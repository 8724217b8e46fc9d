import { expect } from 'chai';
import { ConfigError } from '../../../../lib/config/errors.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { checkCluster } from '../../../../lib/server/cluster/served_cluster.js';

describe('what is checked of an instance before its engine starts', () => {
  const check = async (cluster: object, others: object = {}): Promise<void> => {
    const config = await loadConfig({ base: { model: DEMO_MODEL, cluster: { enabled: true, ...cluster }, ...others } });
    checkCluster(config);
  };

  it('one late heartbeat doesn’t count as none', async () => {
    await check({ heartbeat_ms: 1000, ttl_ms: 3000 });
    await check({ enabled: false, heartbeat_ms: 1000, ttl_ms: 1000 });
    let refused: unknown;
    await check({ heartbeat_ms: 1000, ttl_ms: 2999 }).catch((error: unknown) => (refused = error));
    expect(refused).to.be.instanceOf(ConfigError);
    expect((refused as ConfigError).message).to.equal(
      'INVALID_VALUE: "cluster.ttl_ms" is 2999, and "cluster.heartbeat_ms" 1000: one late heartbeat would count as none; give at least 3 times as much',
    );
  });
});
