import { expect } from 'chai';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { keysOf, knownOf } from '../../../../lib/commands/cluster/known_instances.js';
import { placedInstances } from '../../../../lib/config/instances.js';
import { loadConfig, type PartialConfig } from '../../../../lib/config/load.js';
import { moe7m } from '../../../kit/paths.js';

const LIST: PartialConfig['instances'] = [
  {},
  { host: 'b', port: 80 },
  { host: '::1', port: 81 },
  { name: 'vllm', url: 'http://c:8000/v1/', api_key_env: 'VLLM_KEY' },
];

async function known(more: PartialConfig = {}) {
  const config = await loadConfig({ base: { model: moe7m(), instances: LIST, ...more } });
  return knownOf(placedInstances(config), config, { VLLM_KEY: 'k' });
}

describe('instances that a router asks', () => {
  it('are those that run already, and those of other machines, at their ports', async () => {
    expect(await known()).to.deep.equal([
      { id: 'mixed-1', url: 'http://b:80', apiKey: null },
      { id: 'mixed-2', url: 'http://[::1]:81', apiKey: null },
      { id: 'vllm', url: 'http://c:8000', apiKey: 'k' },
    ]);
  });

  it('of a configuration with TLS are asked by it', async () => {
    const [first] = await known({ server: { tls: { cert: 'c', key: 'k' } } });
    expect(first!.url).to.equal('https://b:80');
  });

  it('where all meet by NATS are those that know nothing of it', async () => {
    expect((await known({ cluster: { bus: 'nats://a:4222' } })).map(({ id }) => id)).to.deep.equal(['vllm']);
  });

  it('without the key that they need are refused by name', async () => {
    const placed = placedInstances(await loadConfig({ base: { model: moe7m(), instances: LIST } }));
    expect(() => keysOf(placed, { VLLM_KEY: '' })).to.throw(UsageError, /instance vllm needs .* VLLM_KEY/);
  });
});
