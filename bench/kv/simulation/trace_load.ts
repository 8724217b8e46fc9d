/** A whole trace as a load for instances in virtual time. Pure. */
import { HASH_BLOCK_TOKENS, type TraceRow } from '../../serve/datasets/trace_rows.js';
import type { Conversation } from './simulated_cluster.js';

/** Of what instances could compute, that the trace asks for. */
const LOAD = 0.6;
/** Tokens of answers are nobody's else. */
const ANSWERS = 2 ** 30;

/** A trace that is played, and instances for it. */
export interface TraceLoad {
  readonly conversations: readonly Conversation[];
  /** Of a block: what a hash id stands for. */
  readonly blockSize: number;
  /** Of each instance, so that all of them are busy. */
  readonly prefillTokensPerMs: number;
}

/** All lengths × `scale`; times as they are. `numInstances`: that share it. @param rows with hash ids; others share nothing */
export function traceLoad(rows: readonly TraceRow[], scale: number, numInstances: number): TraceLoad {
  const blockSize = Math.max(1, Math.round(HASH_BLOCK_TOKENS * scale));
  let numAnswered = 0;
  const conversations = rows.map(({ atMs, inputLen, outputLen, hashIds }): Conversation => {
    const numTokens = Math.max(1, Math.round(inputLen * scale));
    const said = Array.from({ length: numTokens }, (_, i) => {
      const id = hashIds?.[Math.floor(i / blockSize)];
      return id === undefined ? ANSWERS + numAnswered++ : id * blockSize + (i % blockSize);
    });
    const answer = Array.from({ length: Math.max(1, Math.round(outputLen * scale)) }, () => ANSWERS + numAnswered++);
    return { atMs, turns: [{ said, answer, thinkMs: 0 }] };
  });
  const numTokens = conversations.reduce((sum, { turns }) => sum + turns[0]!.said.length, 0);
  const spanMs = Math.max(1, rows.at(-1)!.atMs);
  return { conversations, blockSize, prefillTokensPerMs: numTokens / spanMs / numInstances / LOAD };
}
