import { expect } from 'chai';
import { needsTokens } from '../../../../lib/cluster/router/routing_of.js';

describe('whether a router reads prompts', () => {
  const cases: readonly (readonly [policy: string, decode: string, boolean])[] = [
    ['round_robin', 'same', false],
    ['kv', 'same', true],
    ['round_robin', 'kv', true],
    ['least_load', 'random', false],
    ['of a plug-in', 'same', true],
  ];
  for (const [policy, decode, isNeeded] of cases) {
    it(`${policy}, and ${decode} behind a prompt: ${isNeeded}`, () => {
      expect(needsTokens({ policy, decode_policy: decode })).to.equal(isNeeded);
    });
  }
});
