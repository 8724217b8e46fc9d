/** One answer of an engine: its tokens, when the first came, and what of its prompt wasn't computed. */
import type { Engine } from '../../lib/head/engine.js';
import type { GenerationRequest } from '../../lib/protocol/request.js';

/** As its caller has it. */
export interface TimedAnswer {
  /** To the first token. */
  readonly ms: number;
  readonly tokenIds: readonly number[];
  readonly numCachedTokens: number;
}

/** Greedy, and as long as asked for. */
export async function timedAnswer(
  engine: Pick<Engine, 'generate'>,
  request: GenerationRequest,
  signal: AbortSignal,
): Promise<TimedAnswer> {
  const startMs = performance.now();
  const tokenIds: number[] = [];
  let [ms, numCachedTokens] = [0, 0];
  for await (const event of engine.generate({ ...request, ignoreEos: true }, signal)) {
    if (event.kind === 'token') {
      if (tokenIds.push(event.tokenId) === 1) ms = performance.now() - startMs;
    } else if (event.kind === 'finished') ({ numCachedTokens } = event);
  }
  return { ms, tokenIds, numCachedTokens };
}
