/** Conversations with a real engine, turn by turn, and all that tells whether what they found in caches was right. */
import { expect } from 'chai';
import type { EngineStats } from '../../../lib/head/engine.js';
import type { LocalEngine } from './local_engine.js';
import { watchLogits } from './watched_logits.js';

/** Who talks, and how. */
export interface Talk {
  /** Prompts are made of these. */
  readonly words: readonly number[];
  readonly numConversations: number;
  /** What each turn says before an answer of `numNew` tokens. */
  readonly turns: readonly number[];
  readonly numNew: number;
  /** Whether all conversations have their turn at once, or one after the other. */
  readonly isAtOnce: boolean;
}

/** What came of it. */
export interface Talked {
  /** [conversation][turn] */
  readonly tokenIds: readonly (readonly (readonly number[])[])[];
  /** Of all tokens that were sampled, the bits of the logits that they were sampled from, each once, in order. */
  readonly bits: readonly string[];
  /** Prompt tokens of all that were not computed. */
  readonly numCached: number;
  readonly stats: EngineStats;
}

/** Turn by turn, so that each finds what all others left behind; and no block is used when all have ended, and no tier holds more than it may. */
export async function talkTo(local: LocalEngine, { words, numConversations, ...talk }: Talk): Promise<Talked> {
  const watched = watchLogits(local);
  const talks = Array.from({ length: numConversations }, (_, i) => new Conversation(words.slice(i)));
  for (const [turn, numSaid] of talk.turns.entries()) {
    const begin = (each: Conversation): Promise<void> => each.turn(local, turn, numSaid, talk.numNew);
    if (talk.isAtOnce) await Promise.all(talks.map(begin));
    else for (const each of talks) await begin(each);
  }
  for (const { numUsedBlocks, tiers } of local.engine.load.ranks) {
    expect(numUsedBlocks).to.equal(0);
    for (const { numBytes, maxBytes } of tiers) expect(numBytes).to.be.at.most(maxBytes);
  }
  return {
    tokenIds: talks.map(({ answers }) => answers),
    numCached: talks.reduce((sum, { numCached }) => sum + numCached, 0),
    bits: [...new Set([...watched.values()].map((row) => row.toString('base64')))].sort(),
    stats: local.engine.stats(),
  };
}

/** A reset leaves nothing in any tier. */
export function expectEmptied({ engine }: LocalEngine): void {
  expect(engine.resetPrefixCache()).to.equal(true);
  for (const { tiers } of engine.load.ranks)
    for (const tier of tiers) expect(tier).to.include({ numBlocks: 0, numBytes: 0 });
}

class Conversation {
  readonly answers: (readonly number[])[] = [];
  numCached = 0;
  private before: readonly number[] = [];

  constructor(private readonly words: readonly number[]) {}

  async turn({ engine }: LocalEngine, turn: number, numSaid: number, numNew: number): Promise<void> {
    const promptTokenIds = [...this.before, ...this.words.slice(turn, turn + numSaid)];
    const answer: number[] = [];
    for await (const event of engine.generate({ promptTokenIds, maxNewTokens: numNew, ignoreEos: true })) {
      if (event.kind === 'token') answer.push(event.tokenId);
      if (event.kind === 'finished') this.numCached += event.numCachedTokens;
    }
    this.answers.push(answer);
    this.before = [...promptTokenIds, ...answer];
  }
}
