/** Logits of a whole text in one piece of memory. */
import type { Engine } from '../../lib/head/engine.js';
import type { ScoreResult } from '../../lib/protocol/request.js';

/** [T·V], float32, with what else is told of the text. Errors as those of `Engine.score`. */
export async function scoredLogits(
  engine: Engine,
  tokenIds: readonly number[],
  signal: AbortSignal,
): Promise<{ readonly logits: Float32Array; readonly result: ScoreResult }> {
  const logits = new Float32Array(tokenIds.length * engine.spec.vocabSize);
  let at = 0;
  const onLogits = (part: Float32Array): void => {
    logits.set(part, at);
    at += part.length;
  };
  return { result: await engine.score({ tokenIds, onLogits }, signal), logits };
}
