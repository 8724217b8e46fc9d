import { expect } from 'chai';
import { join } from 'node:path';
import type { RoutingPolicy } from '../../../lib/cluster/base/routed_request.js';
import { routingPolicyNamed } from '../../../lib/cluster/routing/policies/by_name.js';
import { loadConfig } from '../../../lib/config/load.js';
import { ROUTER_DEFAULTS } from '../../../lib/config/router_schema.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { candidateOf, requestOf } from '../../kit/cluster/views.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

async function policyOf(policy: (...args: Parameters<RoutingPolicy>) => unknown): Promise<RoutingPolicy> {
  const registry = new PluginRegistry();
  await registry.fill('a.mjs', (api) => api.registerRoutingPolicy('mine', policy as RoutingPolicy), {});
  return routingPolicyNamed('mine', registry, ROUTER_DEFAULTS);
}

const refusalOf = async (policy: (...args: Parameters<RoutingPolicy>) => unknown): Promise<string> =>
  (await errorOf(PluginError, () => policyOf(policy))).message;

const WHERE = 'PLUGIN_FAILED: plug-in a.mjs, routing policy "mine":';

describe('routing policies of plug-ins', () => {
  it('choose what they say, and nothing else of what they give', async () => {
    const policy = await policyOf((_request, candidates) => ({ kind: 'routed', instance: candidates.at(-1)!.record.id, x: 1 })); // prettier-ignore
    const choice = policy(requestOf(), [candidateOf('a'), candidateOf('b')]);
    expect(choice).to.deep.equal({ kind: 'routed', instance: 'b' });
    const refusing = await policyOf(() => ({ kind: 'rejected', reason: 'full\u001b[2J', retryAfterMs: 5 }));
    const rejection = refusing(requestOf(), [candidateOf('a')]);
    expect(rejection).to.have.property('reason').that.does.not.include('\u001b');
  });

  it('that choose what can not be are refused before a router starts, with what they gave and what to do', async () => {
    const refusals = [
      await refusalOf(() => 'trial-a'),
      await refusalOf(() => ({ kind: 'routed', instance: 'c' })),
      await refusalOf(() => ({ kind: 'rejected', reason: '', retryAfterMs: 1 })),
      await refusalOf(() => ({ kind: 'rejected', reason: 'full', retryAfterMs: NaN })),
      await refusalOf(() => Promise.resolve({ kind: 'routed', instance: 'trial-a' })),
      await refusalOf(() => {
        throw new Error('oh');
      }),
    ];
    expect(refusals).to.deep.equal([
      `${WHERE} gave "trial-a" for request 0; give { kind: 'routed', instance } or { kind: 'rejected', … }`,
      `${WHERE} chose instance "c" for request 0; give the id of one of trial-a, trial-b`,
      `${WHERE} gave the reason "" for request 0; give a text of 1 to 1000 characters for the client`,
      `${WHERE} gave retryAfterMs NaN for request 0; give a number from 0 to 86400000`,
      `${WHERE} gave a promise for request 0; it must give its result at once`,
      `${WHERE} threw for request 0: oh; mend it`,
    ]);
  });

  it('can change nothing of what a router knows', async () => {
    const policy = await policyOf((request, candidates) => {
      const changes = [
        () => ((request as { number: number }).number = 7),
        () => ((candidates[0]!.rates as { tbtMs: number }).tbtMs = 7),
        () => ((candidates[0]!.record as { id: string }).id = 'c'),
        () => (candidates as unknown[]).pop(),
      ];
      for (const change of changes) expect(change).to.throw(TypeError);
      return { kind: 'routed', instance: candidates[0]!.record.id };
    });
    expect(policy(requestOf(), [candidateOf('a')])).to.deep.equal({ kind: 'routed', instance: 'a' });
  });

  it('are found by the name in router.policy, with their options: the example in examples/plugins', async () => {
    const path = join(repoRoot(), 'examples/plugins/shortest_queue.mjs');
    const config = await loadConfig({ base: { model: 'models/moe-7m', router: { policy: 'shortest_queue' }, plugins: [{ path, options: { most: 2 } }] } }); // prettier-ignore
    const { registry } = await loadPlugins(config.plugins);
    const policy = routingPolicyNamed(config.router.policy, registry, config.router);
    const busy = { numPrefillTokens: 1500 };
    const cached = { numPrefillTokens: 1000, numCachedTokens: 900 };
    const request = requestOf({ numPromptTokens: 1000 });
    expect(policy(request, [candidateOf('a', busy), candidateOf('b', cached)])).to.deep.equal({
      kind: 'routed',
      instance: 'b',
    });
    expect(policy(request, [candidateOf('a', busy)])).to.deep.equal({
      kind: 'rejected',
      reason: 'its first token would come after 2.5 s',
      retryAfterMs: 500,
    });
  });
});
