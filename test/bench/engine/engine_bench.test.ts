import { expect } from 'chai';
import { askedOf, mixedLengths, PromptSource } from '../../../bench/engine/asked.js';
import { benchEngine } from '../../../bench/engine/bench_engine.js';
import { follow, numTokensOf, runBatch, ttftOf } from '../../../bench/engine/followed.js';
import { gapsWithin } from '../../../bench/engine/measure_long_prompts.js';
import { medianRatio } from '../../../bench/engine/measurement.js';
import { section } from '../../../bench/engine/report.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import type { GenerationRequest, TokenEvent, TokenSource } from '../../../lib/protocol/request.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';

const token = { kind: 'token', tokenId: 1, logprobs: null, routedExperts: null, text: '' } as const;
const finished = { kind: 'finished', reason: 'length', stoppedBy: null, numCachedTokens: 16, text: '', seed: 0, routedExperts: null, numDegradedTokens: 0 } as const; // prettier-ignore

/** Gives every running request a token per round, and notes which ran in each. */
class PlayedEngine implements TokenSource {
  readonly rounds: number[] = [];
  private running = 0;
  private step: Promise<void> | null = null;

  async *generate({ maxNewTokens }: GenerationRequest): AsyncGenerator<TokenEvent> {
    this.running++;
    for (let i = 0; i < maxNewTokens; i++) {
      await (this.step ??= this.next());
      yield token;
    }
    this.running--;
    yield finished;
  }

  private async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.rounds.push(this.running);
    this.step = null;
  }
}

const signal = new AbortController().signal;
const asked = (...lengths: readonly number[]) => lengths.map((maxNewTokens) => ({ promptTokenIds: [1], maxNewTokens }));

describe('expertwire bench engine', () => {
  it('static batching waits for the longest of a batch, continuous batching fills its place at once', async () => {
    const lengths = asked(8, 1, 8, 1, 8, 1);
    const rounds = async (batching: 'static' | 'continuous'): Promise<number> => {
      const engine = new PlayedEngine();
      const { followed } = await runBatch(engine, lengths, 2, batching, signal);
      expect(numTokensOf(followed)).to.equal(27);
      expect(Math.max(...engine.rounds)).to.equal(2);
      return engine.rounds.length;
    };
    expect(await rounds('static')).to.equal(24);
    expect(await rounds('continuous')).to.be.within(14, 18);
  });

  it('follows a request: when each token came, and what the cache had', async () => {
    const counts: number[] = [];
    const followed = await follow(new PlayedEngine(), asked(3)[0]!, signal, (count) => counts.push(count));
    expect([counts, followed.numCachedTokens, followed.tokenMs.length]).to.deep.equal([[1, 2, 3], 16, 3]);
    expect(ttftOf(followed))
      .to.equal(followed.tokenMs[0]! - followed.startMs)
      .and.at.least(0);
  });

  it('gaps count that overlap a prompt on its way to its first token', () => {
    const prompt = (startMs: number, firstMs: number) => ({ startMs, tokenMs: [firstMs, 90], numCachedTokens: 0 });
    const times = [0, 10, 20, 30, 55, 60, 70];
    expect(gapsWithin(times, [prompt(12, 19), prompt(35, 60)])).to.deep.equal([10, 25, 5]);
    expect(gapsWithin(times, [])).to.deep.equal([]);
  });

  it('lengths are mixed: about the mean, most below it, none beyond the bounds', () => {
    const lengths = mixedLengths(4000, 64, 300, 1);
    expect(lengths.reduce((a, b) => a + b, 0) / 4000).to.be.closeTo(64, 4);
    expect([Math.min(...lengths), Math.max(...lengths)]).to.deep.equal([4, 300]);
    expect(lengths.filter((length) => length < 64).length / 4000).to.be.closeTo(1 - Math.exp(-1), 0.03);
    expect(mixedLengths(9, 64, 300, 1)).to.deep.equal(lengths.slice(0, 9));
  });

  it('no two prompts begin alike, and a seed gives the same ones', () => {
    const prompts = (seed: number) => askedOf(new PromptSource(seed, 2048), 8, [1, 2, 3]).map(({ promptTokenIds }) => promptTokenIds); // prettier-ignore
    expect(new Set(prompts(1).map((ids) => ids[0])).size).to.equal(3);
    expect(prompts(1)).to.deep.equal(prompts(1));
    expect(prompts(1)).to.not.deep.equal(prompts(2));
  });

  it('ratios are of the same round, and the table names formula and baseline', () => {
    expect(medianRatio([12, 48, 192], [6, 16, 48])).to.equal(3);
    const text = section('waste', { formula: 'a / b', baseline: 'c', rows: [{ steps: 3, waste: 0.0234, ratio: 2 }] });
    expect(text).to.equal('\nwaste\n  a / b\n  baseline: c\nsteps   waste  ratio\n3      2.34 %  2.00x\n');
  });

  it('refuses what it does not measure', async () => {
    for (const args of [
      ['--only', 'speed'],
      ['--size', '0'],
      ['--rounds', '0'],
      ['--ranks', '1.5'],
    ]) {
      await errorOf(UsageError, () => benchEngine(args, commandContext()));
    }
  });
});
