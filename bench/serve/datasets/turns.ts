/** `--dataset turns`: conversations whose every turn has all turns and answers before it in its prompt. Pure. */
import type { Conversation } from '../load/conversation.js';
import { drawnLengths } from '../load/lengths.js';
import { Draws, streamOf } from '../load/streams.js';
import type { Dataset, DatasetSetting } from './dataset.js';

/** Lengths in tokens, of each turn. */
export interface TurnsOptions {
  readonly numTurns: number;
  readonly inputLen: number;
  readonly outputLen: number;
  readonly rangeRatio: number;
  /** Mean of the exponentially distributed time that somebody takes to answer. */
  readonly thinkMs: number;
}

/** `numPrompts` conversations. Those that would outgrow the context have fewer turns. */
export function turnsDataset(setting: DatasetSetting, options: TurnsOptions): Dataset {
  const { numPrompts, seed, make, maxModelLen } = setting;
  const { numTurns, inputLen, outputLen, rangeRatio, thinkMs } = options;
  const count = numPrompts * numTurns;
  const inputs = drawnLengths(count, inputLen, rangeRatio, seed, 'input lengths');
  const outputs = drawnLengths(count, outputLen, rangeRatio, seed, 'output lengths');
  const think = new Draws(seed, streamOf('think times'));
  let numCut = 0;
  const conversations = Array.from({ length: numPrompts }, (_, c): Conversation => {
    const all = Array.from({ length: numTurns }, (_, t) => {
      const i = c * numTurns + t;
      const said = make([{ stream: streamOf('turns', i), numTokens: inputs[i]! }]);
      return { said, maxTokens: outputs[i]!, thinkMs: t === 0 ? 0 : thinkMs * think.exponential(), length: inputs[i]! };
    });
    let context = 0;
    const turns = all.filter(({ length, maxTokens }) => (context += length + maxTokens) <= maxModelLen);
    numCut += numTurns - turns.length;
    return { turns: turns.map(({ said, maxTokens, thinkMs: ms }) => ({ said, maxTokens, thinkMs: ms })), atMs: null };
  });
  const about = `turns: ${numTurns} turns each, ${inputLen} tokens said, ${outputLen} answered, range ratio ${rangeRatio}, think time ${thinkMs} ms on average`;
  const cut =
    numCut === 0 ? [] : [`${numCut} of ${count} turns left out: beyond the server's context of ${maxModelLen} tokens`];
  return { conversations: conversations.filter(({ turns }) => turns.length > 0), notes: [about, ...cut] };
}
