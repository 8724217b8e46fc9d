import { expect } from 'chai';
import fc from 'fast-check';
import type { Candidate, InstanceRates } from '../../../../../lib/cluster/base/instance_view.js';
import type { RoutedRequest, RoutingPolicy } from '../../../../../lib/cluster/base/routed_request.js';
import { routingPolicyNamed } from '../../../../../lib/cluster/routing/policies/by_name.js';
import { kv, kvCost } from '../../../../../lib/cluster/routing/policies/kv.js';
import { isHeavy, length } from '../../../../../lib/cluster/routing/policies/length.js';
import {
  leastLoad,
  minExpectedLatency,
  minObservedLatency,
  random,
  roundRobin,
} from '../../../../../lib/cluster/routing/policies/plain.js';
import { slo } from '../../../../../lib/cluster/routing/policies/slo.js';
import { ROUTING_POLICIES } from '../../../../../lib/config/plugin_names.js';
import { ROUTER_DEFAULTS } from '../../../../../lib/config/router_schema.js';
import { PluginRegistry } from '../../../../../lib/plugins/plugin_registry.js';
import { candidateOf, requestOf } from '../../../../kit/cluster/views.js';

type Changes = Parameters<typeof candidateOf>[1];

/** Instances a, b, c … */
const candidates = (...changes: readonly Changes[]): Candidate[] => changes.map((each, i) => candidateOf('abcdefgh'[i]!, each)); // prettier-ignore
const rates = (changes: Partial<InstanceRates>): { readonly rates: InstanceRates } => ({
  rates: { prefillTokensPerS: null, tbtMs: null, requestsPerS: null, latencyMs: null, ...changes },
});

function chosen(policy: RoutingPolicy, among: readonly Candidate[], request: RoutedRequest = requestOf()): string {
  const choice = policy(request, among);
  return choice.kind === 'routed' ? choice.instance : choice.kind;
}

/** How often each is chosen in a thousand requests. */
function shares(policy: RoutingPolicy, among: readonly Candidate[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let number = 0; number < 1000; number++) {
    const id = chosen(policy, among, requestOf({ number }));
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

describe('routing policies', () => {
  const CASES: readonly (readonly [string, RoutingPolicy, readonly Changes[], string])[] = [
    ['round_robin: who waited longest', roundRobin, [{ lastRouted: 4 }, { lastRouted: 2 }, { lastRouted: 3 }], 'b'],
    ['round_robin: who had none yet', roundRobin, [{ lastRouted: 4 }, {}, { lastRouted: 3 }], 'b'],
    ['least_load: the fewest requests', leastLoad, [{ numRequests: 3 }, { numRequests: 1 }, { numRequests: 2 }], 'b'],
    ['least_load: per rank', leastLoad, [{ numRequests: 3 }, { numRequests: 4, record: { numRanks: 2 } }], 'b'],
    ['least_load: of equal ones who waited longest', leastLoad, [{ lastRouted: 2 }, { lastRouted: 1 }], 'b'],
    ['min_expected_latency: 3 / 1 against 5 / 2', minExpectedLatency, [{ numRequests: 2, ...rates({ requestsPerS: 1 }) }, { numRequests: 4, ...rates({ requestsPerS: 2 }) }], 'b'], // prettier-ignore
    [
      'min_expected_latency: nobody’s speed is known',
      minExpectedLatency,
      [{ numRequests: 2 }, { numRequests: 1 }],
      'b',
    ],
    ['min_expected_latency: one’s is not', minExpectedLatency, [{ numRequests: 2, ...rates({ requestsPerS: 2 }) }, { numRequests: 1 }], 'b'], // prettier-ignore
    ['min_observed_latency: the quickest', minObservedLatency, [rates({ latencyMs: 5 }), rates({ latencyMs: 4 })], 'b'],
    ['min_observed_latency: an idle one that is new', minObservedLatency, [rates({ latencyMs: 5 }), {}], 'b'],
    ['min_observed_latency: a busy one that is new', minObservedLatency, [rates({ latencyMs: 5 }), { numRequests: 1, ...rates({}) }, rates({ latencyMs: 9 })], 'a'], // prettier-ignore
    ['kv: the one that has the prompt', kv(), [{ numRequests: 1 }, { numRequests: 2, numCachedTokens: 39 }], 'b'],
    ['kv: another one, if it has too much to do', kv(), [{ numPrefillTokens: 10 }, { numPrefillTokens: 300, numCachedTokens: 39 }], 'a'], // prettier-ignore
    ['kv: a higher weight follows the cache longer', kv({ overlapWeight: 2 }), [{ numPrefillTokens: 10 }, { numPrefillTokens: 300, numCachedTokens: 39 }], 'b'], // prettier-ignore
    ['kv: no weight, no cache', kv({ overlapWeight: 0 }), [{}, { numRequests: 1, numCachedTokens: 39 }], 'a'],
    ['kv: work is spread over ranks', kv(), [{ numRequests: 3 }, { numRequests: 4, record: { numRanks: 2 } }], 'b'],
    ['kv: blocks that are held weigh', kv(), [{ numActiveBlocks: 90 }, { numActiveBlocks: 10 }], 'b'],
    ['slo: the soonest first token', slo({ ttftMs: null, tbtMs: null }), [{ numPrefillTokens: 100, ...rates({ prefillTokensPerS: 100 }) }, { numPrefillTokens: 200, ...rates({ prefillTokensPerS: 1000 }) }], 'b'], // prettier-ignore
    ['slo: not where tokens would be too far apart', slo({ ttftMs: 5000, tbtMs: 50 }), [rates({ tbtMs: 60 }), { numPrefillTokens: 100, ...rates({ prefillTokensPerS: 100, tbtMs: 40 }) }], 'b'], // prettier-ignore
    [
      'length: not where it has no room',
      length(),
      [{ numActiveBlocks: 90 }, { numHeavy: 9, numActiveBlocks: 80 }],
      'b',
    ],
    ['length: anywhere, where it has room nowhere', length(), [{ numActiveBlocks: 99 }, { numRequests: 1, numLight: 1, numActiveBlocks: 90 }], 'a'], // prettier-ignore
  ];
  for (const [claim, policy, changes, expected] of CASES) {
    it(claim, () => expect(chosen(policy, candidates(...changes))).to.equal(expected));
  }

  it('kv: what was computed elsewhere is copied, which costs little', () => {
    const among = candidates({ numRequests: 1, numCachedTokens: 39 }, {});
    expect(chosen(kv(), among)).to.equal('a');
    expect(chosen(kv(), among, requestOf({ leg: 'decode' }))).to.equal('b');
    const [busy] = candidates({ numRequests: 2, numPrefillTokens: 100, numActiveBlocks: 20, numAddedBlocks: 12, numCachedTokens: 8 }); // prettier-ignore
    expect(kvCost(requestOf(), busy!, 1)).to.equal(6 * 32 + 100 + 64 * 2 + (4 * 32) / 64);
  });

  it('kv: a temperature lets others have some, the more the higher it is, and the same ones each time', () => {
    const among = candidates({}, { numRequests: 1 }, { numRequests: 2 });
    expect(shares(kv(), among)).to.deep.equal({ a: 1000 });
    const mild = shares(kv({ temperature: 0.5 }), among);
    const [a, b, c] = [1, Math.exp(-1), Math.exp(-2)];
    for (const [id, weight] of [['a', a], ['b', b], ['c', c]] as const) expect(mild[id]).to.be.closeTo((1000 * weight) / (a + b + c), 45); // prettier-ignore
    expect(shares(kv({ temperature: 100 }), among).c).to.be.above(280);
    expect(shares(kv({ temperature: 0.5 }), among)).to.deep.equal(mild);
    expect(shares(kv({ temperature: 0.5, seed: 1 }), among)).to.not.deep.equal(mild);
  });

  it('random: faster ones more often, of which nobody knows as often as the mean', () => {
    const among = candidates(rates({ requestsPerS: 1 }), rates({ requestsPerS: 3 }), {});
    const { a, b, c } = shares(random(0), among);
    expect([a, b, c].map((count) => Math.round(count! / 100))).to.deep.equal([2, 5, 3]);
  });

  it('slo: refuses what would come too late everywhere, with the best that there is', () => {
    const policy = slo({ ttftMs: 500, tbtMs: 50 });
    const late = candidates({ numPrefillTokens: 960, ...rates({ prefillTokensPerS: 1000 }) }, { numPrefillTokens: 760, ...rates({ prefillTokensPerS: 1000 }) }); // prettier-ignore
    expect(policy(requestOf(), late)).to.deep.equal({
      kind: 'rejected',
      reason: 'its first token would come after 800 ms, and the limit is 500 ms',
      retryAfterMs: 300,
    });
    const apart = candidates({ numRequests: 1, ...rates({ tbtMs: 60.4 }) });
    expect(policy(requestOf(), apart)).to.deep.equal({
      kind: 'rejected',
      reason: 'its tokens would be apart by 60 ms, and the limit is 50 ms',
      retryAfterMs: 100,
    });
    expect(chosen(policy, apart, requestOf({ leg: 'prefill' })), 'others generate').to.equal('a');
    expect(chosen(policy, late, requestOf({ leg: 'decode' })), 'others compute the prompt').to.equal('a');
  });

  it('slo: has an instance that does nothing take a request whatever was measured once', () => {
    const policy = slo({ ttftMs: 500, tbtMs: 50 });
    const slow = rates({ prefillTokensPerS: 10, tbtMs: 60 });
    expect(chosen(policy, candidates({ numRequests: 1, ...slow }, slow))).to.equal('b');
    expect(policy(requestOf(), candidates({ numRequests: 1, ...slow })).kind).to.equal('rejected');
  });

  it('length: heavy requests go where few heavy ones are, light ones where many light ones are not', () => {
    const among = candidates({ numHeavy: 3, numLight: 1 }, { numHeavy: 1, numLight: 3 });
    const heavy = requestOf({ predicted: { from: 256, to: 1024 }, maxNewTokens: 100 });
    expect([isHeavy(heavy.predicted), isHeavy(requestOf().predicted)]).to.deep.equal([true, false]);
    expect(chosen(length(), among, heavy)).to.equal('b');
  });

  it('length: of two by chance the better one, so that the worst of many is never taken', () => {
    const many = candidates(...Array.from({ length: 8 }, (_, i) => ({ numHeavy: i, numLight: 1 })));
    const counts = shares(length(), many);
    expect(counts).to.not.have.property('h');
    for (const [i, id] of ['a', 'b', 'c', 'd', 'e', 'f', 'g'].entries())
      expect(counts[id], id).to.be.closeTo((1000 * (7 - i)) / 28, 50);
  });

  it('decode_policy: goes by another one behind a prompt alone', () => {
    const settings = { ...ROUTER_DEFAULTS, decode_policy: 'round_robin' };
    const policy = routingPolicyNamed('least_load', new PluginRegistry(), settings);
    const among = candidates({ numRequests: 1 }, { lastRouted: 3 });
    const legs = (['whole', 'prefill', 'decode'] as const).map((leg) => chosen(policy, among, requestOf({ leg })));
    expect(legs).to.deep.equal(['b', 'b', 'a']);
  });

  it('all: choose one of the candidates, whatever is known of them, the same each time, and change nothing', () => {
    const rate = fc.option(fc.double({ min: 1e-3, max: 1e6, noNaN: true }));
    const anyCandidate = fc.record({
      numRequests: fc.nat(100),
      numPrefillTokens: fc.nat(1e5),
      numActiveBlocks: fc.nat(1e4),
      numHeavy: fc.nat(9),
      numLight: fc.nat(9),
      numCachedTokens: fc.nat(39),
      numAddedBlocks: fc.nat(10),
      lastRouted: fc.integer({ min: -1, max: 99 }),
      rates: fc.record({ prefillTokensPerS: rate, tbtMs: rate, requestsPerS: rate, latencyMs: rate }),
      record: fc.record({ numRanks: fc.integer({ min: 1, max: 4 }), numKvBlocks: fc.nat(1e4) }),
    });
    const anyRequest = fc.record({ number: fc.nat(), leg: fc.constantFrom('whole' as const, 'prefill' as const, 'decode' as const), temperature: fc.constantFrom(0, 0.5) }); // prettier-ignore
    const property = fc.property(
      fc.array(anyCandidate, { minLength: 1, maxLength: 8 }),
      anyRequest,
      (changes, { temperature, ...rest }) => {
        const among = candidates(...changes);
        const before = structuredClone(among);
        const request = requestOf(rest);
        for (const name of ROUTING_POLICIES) {
          const settings = { ...ROUTER_DEFAULTS, temperature, slo: { ttft_ms: 1e12, tbt_ms: 1e12 } };
          const policy = routingPolicyNamed(name, new PluginRegistry(), settings);
          const id = chosen(policy, among, request);
          expect(among.map(({ record }) => record.id)).to.include(id, name);
          expect(chosen(policy, among, request)).to.equal(id);
        }
        expect(among).to.deep.equal(before);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });
});
