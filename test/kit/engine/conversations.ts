/** Conversations with a real engine, turn by turn, and all that tells whether what they found in caches was right. */
import { expect } from 'chai';
import type { GenerationRequest } from '../../../lib/protocol/request.js';
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

/** What befalls an engine meanwhile. */
export interface Trouble {
  /** With each turn somebody else asks the same and goes away, before its first token or behind some. Default: nobody. */
  readonly hasLeavers?: boolean;
  /** Before a turn, by its number. Default: nothing. */
  readonly beforeTurn?: (turn: number) => void;
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
export async function talkTo(
  local: LocalEngine,
  { words, numConversations, ...talk }: Talk,
  { hasLeavers = false, beforeTurn = () => undefined }: Trouble = {},
): Promise<Talked> {
  const watched = watchLogits(local);
  const talks = Array.from({ length: numConversations }, (_, i) => new Conversation(words.slice(i)));
  for (const [turn, numSaid] of talk.turns.entries()) {
    beforeTurn(turn);
    const begin = async (each: Conversation, i: number): Promise<void> => {
      const asked = { promptTokenIds: each.say(turn, numSaid), maxNewTokens: talk.numNew, ignoreEos: true };
      await Promise.all([each.hear(local, asked), hasLeavers && leave(local, asked, (turn + i) % 4)]);
    };
    if (talk.isAtOnce) await Promise.all(talks.map(begin));
    else for (const [i, each] of talks.entries()) await begin(each, i);
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

  /** The next prompt: all that was said so far, and something new. */
  say(turn: number, numSaid: number): readonly number[] {
    return [...this.before, ...this.words.slice(turn, turn + numSaid)];
  }

  async hear({ engine }: LocalEngine, asked: GenerationRequest): Promise<void> {
    const answer: number[] = [];
    for await (const event of engine.generate(asked)) {
      if (event.kind === 'token') answer.push(event.tokenId);
      if (event.kind === 'finished') this.numCached += event.numCachedTokens;
    }
    this.answers.push(answer);
    this.before = [...asked.promptTokenIds, ...answer];
  }
}

/** Asks and goes away behind so many tokens; 0: as soon as it has asked. */
async function leave({ engine }: LocalEngine, asked: GenerationRequest, numTokens: number): Promise<void> {
  const gone = new AbortController();
  if (numTokens === 0) setImmediate(() => gone.abort());
  let numLeft = numTokens;
  try {
    for await (const { kind } of engine.generate(asked, gone.signal)) if (kind === 'token' && --numLeft === 0) break;
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}
