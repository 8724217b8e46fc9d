import { expect } from 'chai';
import { KvCosts, readsOf, type BlockNumbers, type BlockOrigin } from '../../../../lib/head/kv/kv_costs.js';
import { LinearFit } from '../../../../lib/head/kv/linear_fit.js';
import { randomFrom } from '../../../refs/random.js';

const BLOCK_SIZE = 16;
const STEP_TOKENS = 512;

describe('a fit of costs', () => {
  it('finds what each amount costs, and what is paid in any case', () => {
    const fit = new LinearFit(3);
    for (const [a, b] of [
      [1, 0],
      [8, 3],
      [40, 1],
      [2, 9],
    ] as const)
      fit.add([1, a, b], 5 + 2 * a + 0.25 * b);
    for (const [i, cost] of [5, 2, 0.25].entries()) expect(fit.costs[i]).to.be.closeTo(cost, 1e-6);
  });

  it('never finds a negative cost: what fits best without it is taken', () => {
    const fit = new LinearFit(2);
    for (const n of [1, 2, 4, 8]) fit.add([1, n], 10 / n);
    expect(fit.costs[1]).to.equal(0);
    expect(fit.costs[0]).to.be.above(0);
  });

  it('takes it that twice as much costs twice as much, while all samples are alike', () => {
    const fit = new LinearFit(2);
    for (let i = 0; i < 5; i++) fit.add([1, 8], 16);
    expect(fit.msOf([1, 16])).to.be.closeTo(32, 1e-9);
    expect(fit.msOf([1, 4])).to.be.closeTo(8, 1e-9);
  });

  it('forgets how it was', () => {
    const fit = new LinearFit(2);
    for (let i = 0; i < 300; i++) fit.add([1, 1 + (i % 9)], 100 * (1 + (i % 9)));
    for (let i = 0; i < 300; i++) fit.add([1, 1 + (i % 9)], 3 * (1 + (i % 9)));
    expect(fit.msOf([1, 10])).to.be.closeTo(30, 1);
  });

  it('is nothing before the first sample', () => {
    expect(new LinearFit(2).msOf([1, 5])).to.equal(0);
  });
});

/** A machine: what it takes, and what is measured of that. */
class Machine {
  readonly costs = new KvCosts(STEP_TOKENS);
  private readonly random: () => number;
  private readonly stepMs: number;
  private readonly tokenMs: number;
  private readonly readMs: number;
  private readonly fixedMs: Record<BlockOrigin, number>;
  private readonly blockMs: Record<BlockOrigin, number>;

  constructor(seed: number) {
    const random = (this.random = randomFrom(seed));
    const upTo = (most: number): number => most * random();
    this.stepMs = 0.5 + upTo(10);
    this.tokenMs = 0.05 + upTo(1);
    this.readMs = upTo(1e-3);
    const fixed = upTo(3);
    this.fixedMs = { ram: fixed, disk: fixed, rank: upTo(10), instance: upTo(40) };
    this.blockMs = { ram: upTo(1), disk: upTo(10), rank: upTo(10), instance: upTo(20) };
  }

  whole(from: number, to: number): number {
    return from + Math.floor(this.random() * (to - from));
  }

  private noisy(ms: number): number {
    return ms * (0.9 + 0.2 * this.random());
  }

  step(): void {
    const isPrompt = this.random() < 0.3;
    const numTokens = isPrompt ? this.whole(16, STEP_TOKENS + 1) : this.whole(1, 9);
    const numReads = readsOf(this.whole(0, 4000), numTokens);
    this.costs.computed(
      { numTokens, numReads },
      this.noisy(this.stepMs + numTokens * this.tokenMs + numReads * this.readMs),
    );
  }

  bringMs(origin: BlockOrigin, numBlocks: number): number {
    return this.fixedMs[origin] + numBlocks * this.blockMs[origin];
  }

  bring(origin: BlockOrigin, numBlocks: number): void {
    this.costs.brought({ [origin]: numBlocks }, this.noisy(this.bringMs(origin, numBlocks)));
  }

  computeMs(numTokens: number, position: number, numBehind: number): number {
    const numSteps = Math.ceil((numTokens + numBehind) / STEP_TOKENS) - Math.ceil(numBehind / STEP_TOKENS);
    return this.stepMs * numSteps + this.tokenMs * numTokens + this.readMs * readsOf(position, numTokens);
  }
}

describe('what bringing and computing blocks cost', () => {
  it('says what is cheaper in 95 of 100 cases, on machines of any speed, by what is measured of both', () => {
    let [numRight, numCases] = [0, 0];
    for (let seed = 1; seed <= 40; seed++) {
      const machine = new Machine(seed);
      for (let i = 0; i < 60; i++) machine.step();
      for (const origin of ['ram', 'disk', 'rank', 'instance'] as const) {
        for (let i = 0; i < 20; i++) machine.bring(origin, machine.whole(1, 200));
        for (let i = 0; i < 25; i++) {
          const numBlocks = machine.whole(1, 200);
          const tokens = { numTokens: numBlocks * BLOCK_SIZE, position: BLOCK_SIZE * machine.whole(0, 200) };
          const numBehind = machine.whole(1, 300);
          const isCheaper =
            machine.bringMs(origin, numBlocks) <= machine.computeMs(tokens.numTokens, tokens.position, numBehind);
          const { costs } = machine;
          const says = costs.bringMs({ [origin]: numBlocks })! <= costs.computeMs({ ...tokens, numBehind })!;
          numCases++;
          if (says === isCheaper) numRight++;
        }
      }
    }
    expect(numRight / numCases).to.be.at.least(0.95);
  });

  const worth = (costs: KvCosts, blocks: BlockNumbers): boolean =>
    costs.numWorth([{ blocks, numTokens: 16 }], 0, 1) === 1;

  it('brings what it knows nothing of', () => {
    const costs = new KvCosts(STEP_TOKENS);
    expect(worth(costs, { disk: 1 })).to.equal(true);
    for (let i = 0; i < 3; i++) costs.brought({ disk: 1 }, 1000);
    expect(worth(costs, { disk: 1 })).to.equal(true); // of steps it knows nothing
    for (let i = 0; i < 8; i++) costs.computed({ numTokens: 16, numReads: 128 }, 1);
    expect(worth(costs, { disk: 1 })).to.equal(false);
    expect(worth(costs, { instance: 1 })).to.equal(true);
  });

  it('tries what was dearer now and then, each kind by itself', () => {
    const costs = new KvCosts(STEP_TOKENS);
    for (let i = 0; i < 3; i++) for (const kind of ['rank', 'instance'] as const) costs.brought({ [kind]: 1 }, 1000);
    for (let i = 0; i < 8; i++) costs.computed({ numTokens: 16, numReads: 128 }, 1);
    const tries = Array.from({ length: 64 }, () => worth(costs, { rank: 1 }));
    expect(tries.filter(Boolean)).to.have.length(2);
    expect(worth(costs, { instance: 1 })).to.equal(false);
  });

  it('brings what is cheap in front, and computes behind it what is dear', () => {
    const costs = new KvCosts(STEP_TOKENS);
    for (const n of [1, 5, 9]) {
      costs.brought({ ram: n }, n);
      costs.brought({ rank: n }, 100 * n);
      costs.brought({ instance: n }, 20 * n);
    }
    for (const n of [1, 16, 64, 2, 32, 8, 4, 9]) costs.computed({ numTokens: n, numReads: 0 }, n);
    const parts = (...kinds: BlockOrigin[]) => kinds.map((kind) => ({ blocks: { [kind]: 4 }, numTokens: 64 }));
    expect(costs.numWorth(parts('ram', 'rank'), 0, 1)).to.equal(1);
    expect(costs.numWorth(parts('rank', 'ram'), 0, 1)).to.equal(0);
    expect(costs.numWorth(parts('instance', 'ram', 'ram'), 0, 1)).to.equal(3); // for the sake of what is behind it
  });

  it('counts memory and disk of one lift each by itself, and what both cost together once', () => {
    const costs = new KvCosts(STEP_TOKENS);
    for (const [ram, disk] of [
      [1, 0],
      [9, 0],
      [0, 4],
      [5, 5],
    ] as const)
      costs.brought({ ram, disk }, 2 + ram + 10 * disk);
    expect(costs.bringMs({ ram: 3, disk: 7 })).to.be.closeTo(75, 1e-6);
    expect(costs.bringMs({ rank: 1 })).to.equal(null);
  });

  it('counts a step more only where the tokens take one more', () => {
    const costs = new KvCosts(100);
    for (const numTokens of [1, 10, 50, 100, 1, 20, 80, 100])
      costs.computed({ numTokens, numReads: 0 }, 50 + numTokens);
    const ms = (numTokens: number, numBehind: number): number =>
      costs.computeMs({ numTokens, position: 0, numBehind })!;
    expect(ms(40, 50)).to.be.closeTo(40, 1e-6);
    expect(ms(40, 70)).to.be.closeTo(90, 1e-6);
    expect(ms(400, 1)).to.be.closeTo(600, 1e-6);
  });
});
