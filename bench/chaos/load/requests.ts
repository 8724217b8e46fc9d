/** What a job is asked while faults befall it: the same requests for one seed. */
import { uniform } from '../../../base/philox.js';
import type { GenerationRequest } from '../../../lib/protocol/request.js';
import type { Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { KINDS, promptsOf } from '../../balance/traffic.js';

/** How many requests, and how long. */
export interface RequestShape {
  readonly seed: number;
  readonly numRequests: number;
  /** Of the longest prompt; the shortest is a quarter of it. */
  readonly promptTokens: number;
  /** Of the longest answer; the shortest is a half of it. */
  readonly newTokens: number;
}

/** Of a stream's own, so that no two draws are alike. */
const DRAWS = 0x10000;

/** Every second one is sampled, with penalties that see all that came before; each tells how likely its tokens were, which shows more than they do. */
export function requestsOf(
  shape: RequestShape,
  vocabSize: number,
  tokenizer: Tokenizer | undefined,
): GenerationRequest[] {
  const { seed, numRequests, promptTokens: most, newTokens } = shape;
  return Array.from({ length: numRequests }, (_, i) => {
    const draw = (what: number): number => uniform(seed, DRAWS + i, what);
    const promptTokens = Math.max(1, Math.round(most * (0.25 + 0.75 * draw(0))));
    const kind = KINDS[i % KINDS.length]!;
    const [promptTokenIds] = promptsOf(0, { kind, numPrompts: 1, promptTokens, seed: seed + i }, vocabSize, tokenizer);
    const sampling = { temperature: 1.2, topP: 0.95, repetitionPenalty: 1.2, seed: seed + i };
    return {
      promptTokenIds: promptTokenIds!,
      maxNewTokens: Math.max(1, Math.round(newTokens * (0.5 + 0.5 * draw(1)))),
      ignoreEos: true,
      logprobs: 0,
      ...(i % 2 === 1 && { sampling }),
    };
  });
}
