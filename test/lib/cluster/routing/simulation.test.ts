import { expect } from 'chai';
import type { RoutingPolicy } from '../../../../lib/cluster/base/routed_request.js';
import { ROUTING_POLICIES } from '../../../../lib/config/plugin_names.js';
import { ROUTER_DEFAULTS } from '../../../../lib/config/router_schema.js';
import { PluginRegistry } from '../../../../lib/plugins/plugin_registry.js';
import { routingPolicyNamed } from '../../../../lib/cluster/routing/policies/by_name.js';
import { kv } from '../../../../lib/cluster/routing/policies/kv.js';
import { leastLoad, roundRobin } from '../../../../lib/cluster/routing/policies/plain.js';
import { infiniteCache } from '../../../../bench/kv/simulation/infinite_cache.js';
import { simulated, type Conversation } from '../../../../bench/kv/simulation/simulated_cluster.js';
import { randomFrom } from '../../../refs/random.js';

/** Tokens that nobody else has. */
function drawnTokens(random: () => number, count: number): number[] {
  return Array.from({ length: count }, () => Math.floor(random() * 2 ** 31));
}

/** As `bench serve --dataset turns`: conversations that begin one after the other. */
function turns(seed: number, count: number): Conversation[] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, (_, i) => ({
    atMs: 150 * i,
    turns: Array.from({ length: 5 }, () => ({
      said: drawnTokens(random, 32 + Math.floor(64 * random())),
      answer: drawnTokens(random, 16 + Math.floor(32 * random())),
      thinkMs: -2000 * Math.log(1 - random()),
    })),
  }));
}

/** As `bench serve --dataset prefix`: single prompts that begin with one of a few prefixes, at a Poisson rate. */
function prefixes(seed: number, count: number): Conversation[] {
  const random = randomFrom(seed);
  const shared = Array.from({ length: 9 }, () => drawnTokens(random, 512));
  let atMs = 0;
  return Array.from({ length: count }, () => ({
    atMs: (atMs -= 60 * Math.log(1 - random())),
    turns: [
      {
        said: [
          ...shared[Math.floor(random() * shared.length)]!,
          ...drawnTokens(random, 16 + Math.floor(32 * random())),
        ],
        answer: drawnTokens(random, 16),
        thinkMs: 0,
      },
    ],
  }));
}

const SIZE = { numInstances: 3, numBlocks: 1200 };

describe('routing, in virtual time', () => {
  for (const [name, load] of [
    ['turns', turns(1, 60)],
    ['prefix', prefixes(1, 400)],
  ] as const) {
    // prettier-ignore
    const least = infiniteCache(load);
    const by = (policy: RoutingPolicy, usesEvents = true) => simulated(load, policy, { ...SIZE, usesEvents });

    it(`${name}: kv computes within 5 % of the tokens of one infinite cache, and nobody waits longer`, () => {
      const { tokens, numRequests, meanTtftMs } = by(kv());
      expect(tokens.computed).to.be.within(least, 1.05 * least);
      const mean = numRequests.reduce((a, b) => a + b, 0) / SIZE.numInstances;
      expect(Math.max(...numRequests), 'its instances are busy').to.be.below(1.2 * mean);
      for (const policy of [roundRobin, leastLoad]) {
        const other = by(policy);
        expect(other.tokens.computed).to.be.at.least(1.5 * least);
        expect(other.meanTtftMs).to.be.above(2 * meanTtftMs);
      }
    });

    it(`${name}: without events it computes within 10 %`, () => {
      expect(by(kv(), false).tokens.computed).to.be.within(least, 1.1 * least);
    });

    it(`${name}: what one instance computed no other one does in a pool, and it stays where it is if nothing is in the way`, () => {
      const pooled = (policy: RoutingPolicy) => simulated(load, policy, { ...SIZE, isPooled: true });
      for (const policy of [kv(), roundRobin, leastLoad]) {
        // Of prompts that begin alike and come at once each is computed: nobody has them yet.
        expect(pooled(policy).tokens.computed).to.be.within(least, 1.2 * least);
      }
      const [{ tokens }, spread] = [pooled(kv()), pooled(roundRobin)];
      expect(tokens.computed).to.be.below(1.02 * least);
      expect(tokens.fetched).to.be.below(0.5 * spread.tokens.fetched);
    });

    it(`${name}: each run has the same numbers`, () => {
      const policy = kv({ temperature: 0.1, seed: 7 });
      expect(by(policy)).to.deep.equal(by(policy));
      expect(by(policy)).to.not.deep.equal(by(kv({ temperature: 0.1, seed: 8 })));
    });
  }

  it('every policy gives equal instances equal shares of requests that are alike: within 1.1 of the mean', () => {
    const random = randomFrom(5);
    const load = Array.from({ length: 600 }, (_, i): Conversation => ({
      atMs: 25 * i,
      turns: [{ said: drawnTokens(random, 64), answer: drawnTokens(random, 16), thinkMs: 0 }],
    }));
    for (const name of ROUTING_POLICIES.filter((each) => each !== 'random')) {
      const policy = routingPolicyNamed(name, new PluginRegistry(), ROUTER_DEFAULTS);
      const { numRequests } = simulated(load, policy, SIZE);
      expect(Math.max(...numRequests) / 200, name).to.be.at.most(1.1);
    }
  });

  it('where blocks are evicted, kv sends nobody after what is gone: it computes far less than others still', () => {
    const load = turns(3, 120);
    const [cached, ...others] = [kv(), roundRobin, leastLoad].map((policy) => simulated(load, policy, { numInstances: 3, numBlocks: 400 }).tokens.computed); // prettier-ignore
    for (const other of others) expect(cached).to.be.below(0.7 * other);
    const { numVain, tokens } = simulated(load, kv(), { numInstances: 3, numBlocks: 400, isPooled: true });
    expect(tokens.computed).to.be.below(1.05 * cached!);
    expect(numVain, 'blocks that went while a name was on its way').to.be.below(load.length / 10);
  });
});
