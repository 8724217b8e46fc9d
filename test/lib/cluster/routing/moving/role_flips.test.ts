import { expect } from 'chai';
import type { InstanceView } from '../../../../../lib/cluster/base/instance_view.js';
import { PATIENT } from '../../../../../lib/cluster/routing/moving/patience.js';
import { flipOf, type Flip, type FlipState } from '../../../../../lib/cluster/routing/moving/role_flips.js';
import { candidateOf } from '../../../../kit/cluster/views.js';

const COOL_DOWN_MS = 100;
const RATES = { prefillTokensPerS: 1000, tbtMs: null, requestsPerS: null, latencyMs: null };

/** Computes prompts, of so many tokens that wait; a thousand take a second. */
const prefill = (id: string, numPrefillTokens: number): InstanceView =>
  candidateOf(id, { numPrefillTokens, rates: RATES, record: { role: 'prefill' } });
/** Generates, and holds so many of 100 blocks. */
const decode = (id: string, numActiveBlocks: number): InstanceView =>
  candidateOf(id, { numActiveBlocks, record: { role: 'decode' } });

/** What flips at which moment, asked every 10 ms. */
function flipsOf(viewsAt: (nowMs: number) => readonly InstanceView[], untilMs: number): (readonly [number, Flip])[] {
  let state: FlipState = PATIENT;
  const flips: (readonly [number, Flip])[] = [];
  for (let nowMs = 0; nowMs <= untilMs; nowMs += 10) {
    const { flip, state: after } = flipOf(viewsAt(nowMs), state, nowMs, COOL_DOWN_MS);
    state = after;
    if (flip !== null) flips.push([nowMs, flip]);
  }
  return flips;
}

describe('flipOf', () => {
  const longQueue = [prefill('p', 2000), decode('d', 30), decode('e', 10)];

  it('has the idlest one that generates compute prompts, once these have waited too long for a while', () => {
    expect(flipsOf(() => longQueue, 100)).to.deep.equal([[100, { instance: 'e', to: 'prefill' }]]);
    const brief = (nowMs: number) => (nowMs === 50 ? [prefill('p', 0), decode('d', 30), decode('e', 10)] : longQueue);
    expect(flipsOf(brief, 100), 'the queue was short meanwhile').to.deep.equal([]);
  });

  it('has one that computes prompts generate, where blocks run out', () => {
    const views = [prefill('p', 100), prefill('q', 50), decode('d', 85)];
    expect(flipsOf(() => views, 100)).to.deep.equal([[100, { instance: 'q', to: 'decode' }]]);
  });

  it('counts blocks that requests wait for', () => {
    const waits = { id: 'w', isRunning: false, isMovable: true, priority: 0, numPromptTokens: 4, numOutputTokens: 0, numBlocks: 30, arrival: 0 }; // prettier-ignore
    const d = decode('d', 60);
    const load = { instance: 'd', incarnation: 'x', sequence: 0, numWaiting: 1, numRunning: 2, numKvBlocks: 100, numUsedBlocks: 60, numCachedBlocks: 0, numFreeBlocksOfRank: 40, numPrefillTokens: 0, prefillTokensPerS: null, tbtMs: null, requests: [waits] }; // prettier-ignore
    expect(flipsOf(() => [prefill('p', 0), prefill('q', 0), d], 100)).to.deep.equal([]);
    expect(flipsOf(() => [prefill('p', 0), prefill('q', 0), { ...d, load }], 100)).to.have.length(1);
  });

  it('leaves one of each, and takes from nobody who can spare none', () => {
    expect(
      flipsOf(() => [prefill('p', 2000), decode('d', 10)], 200),
      'the last',
    ).to.deep.equal([]);
    expect(
      flipsOf(() => [prefill('p', 2000), decode('d', 35), decode('e', 35)], 200),
      '70 % on one',
    ).to.deep.equal([]);
    expect(flipsOf(() => [prefill('p', 400), prefill('q', 400), decode('d', 90)], 200), 'a queue of 800 ms').to.deep.equal([]); // prettier-ignore
    const others = [prefill('p', 2000), decode('d', 0), { ...decode('e', 0), isHealthy: false }];
    expect(
      flipsOf(() => others, 200),
      'who is ill counts for nothing',
    ).to.deep.equal([]);
  });

  it('waits after a flip, and never flips to and fro under a load that stays', () => {
    expect(flipsOf(() => [...longQueue, decode('f', 0)], 250)).to.have.length(2);
    let roles = { p: 'prefill', q: 'decode', r: 'decode', s: 'decode' } as Record<string, 'prefill' | 'decode'>;
    let state: FlipState = PATIENT;
    const flips: string[] = [];
    for (let nowMs = 0; nowMs < 10_000; nowMs += 10) {
      const of = (role: string): string[] => Object.keys(roles).filter((id) => roles[id] === role);
      const views = Object.entries(roles).map(([id, role]) =>
        role === 'prefill' ? prefill(id, 1900 / of('prefill').length) : decode(id, 90 / of('decode').length),
      );
      const { flip, state: after } = flipOf(views, state, nowMs, COOL_DOWN_MS);
      state = after;
      if (flip === null) continue;
      flips.push(`${flip.instance} ${flip.to}`);
      roles = { ...roles, [flip.instance]: flip.to };
    }
    expect(flips).to.deep.equal(['q prefill']);
  });
});
